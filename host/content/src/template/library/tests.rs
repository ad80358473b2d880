use serde_json::json;

use super::*;

fn html(source: &str) -> Template {
    Template { html: Some(source.to_owned()), ..Template::default() }
}

fn library(templates: &[(&str, Template)]) -> Library {
    let mut library = Library::new(Limits::default());
    for (name, template) in templates {
        library.put(&name.parse().unwrap(), template).unwrap();
    }
    library
}

fn rendered_html(source: &str, data: &serde_json::Value) -> Result<String, TemplateError> {
    library(&[("t", html(source))]).render("t", data).map(|rendered| rendered.html.unwrap())
}

#[test]
fn html_is_escaped_and_subject_and_text_are_not() {
    let template = Template {
        subject: Some("Hi {{ name }}".into()),
        html: Some("<p title=\"{{ name }}\">{{ name }}</p>".into()),
        text: Some("Hi {{ name }}".into()),
        ..Template::default()
    };
    let made = library(&[("t", template)]).render("t", &json!({"name": "<b>\"A\" & B</b>"})).unwrap();
    assert_eq!(made.subject.unwrap(), "Hi <b>\"A\" & B</b>");
    assert_eq!(made.text.unwrap(), "Hi <b>\"A\" & B</b>");
    assert!(!made.html.as_ref().unwrap().contains("<b>"), "{made:?}", made = made.html);
    assert!(made.html.unwrap().starts_with("<p title=\"&lt;b&gt;&quot;A&quot; &amp; B"));
}

#[test]
fn layouts_and_includes_take_the_same_part_of_the_other_template() {
    let layout = Template {
        html: Some("<main>{% block body %}{% endblock %}</main>{% include 'foot' %}".into()),
        text: Some("== {% block body %}{% endblock %}".into()),
        ..Template::default()
    };
    let page = Template {
        html: Some("{% extends 'layout' %}{% block body %}<p>{{ a }}</p>{% endblock %}".into()),
        text: Some("{% extends 'layout' %}{% block body %}{{ a }}{% endblock %}".into()),
        ..Template::default()
    };
    let library = library(&[("layout", layout), ("foot", html("<i>&amp;</i>")), ("page", page)]);
    let made = library.render("page", &json!({"a": "<"})).unwrap();
    assert_eq!(made.html.unwrap(), "<main><p>&lt;</p></main><i>&amp;</i>");
    assert_eq!(made.text.unwrap(), "== <");
}

#[test]
fn a_missing_variable_is_named_with_template_part_and_line() {
    let library = library(&[
        ("foot", html("one\ntwo {{ company.street }}")),
        ("page", html("<p>\n{% include 'foot' %}")),
    ]);
    let error = library.render("page", &json!({"company": {}})).unwrap_err();
    assert_eq!(
        (error.template.as_str(), error.part, error.line, error.reason),
        ("foot", Some(Part::Html), Some(2), Reason::Undefined)
    );
    assert_eq!(error.expression.as_deref(), Some("company.street"));
    assert_eq!(error.to_string(), "template foot, html, line 2: `company.street` is not in the data");
    let optional = "{% if nick %}{{ nick }}{% else %}you{% endif %}{{ x | default('-') }}";
    assert_eq!(rendered_html(optional, &json!({})).unwrap(), "you-");
}

#[test]
fn loops_bombs_and_circles_end_with_an_error() {
    let endless = "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}";
    assert_eq!(rendered_html(endless, &json!({})).unwrap_err().reason, Reason::TooMuchWork);
    let bomb = "{% set a = 'x' * 100000 %}{% for i in range(100) %}{{ a }}{% endfor %}";
    assert_eq!(rendered_html(bomb, &json!({})).unwrap_err().reason, Reason::TooLarge);
    let alloc = "{{ ('x' * 1000000000) | length }}";
    assert_eq!(rendered_html(alloc, &json!({})).unwrap_err().reason, Reason::TooMuchWork);
    for circle in
        ["{% include 't' %}", "{% extends 't' %}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"]
    {
        let error = rendered_html(circle, &json!({})).unwrap_err();
        assert!(matches!(error.reason, Reason::TooDeep | Reason::TooMuchWork), "{circle}: {error}");
    }
    let deep = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let mut library = Library::new(Limits::default());
    let refused = library.put(&"t".parse().unwrap(), &html(&format!("{{{{ {deep} }}}}"))).unwrap_err();
    assert_eq!(refused.reason, Reason::Syntax);
}

#[test]
fn other_limits_hold_at_once_and_what_is_kept_stays() {
    let page = html("{% for i in range(500) %}xxxx{% endfor %}");
    let library = library(&[("t", page.clone())]);
    let within = |limits: Limits| library.clone().with_limits(limits).render("t", &json!({}));
    assert!(within(Limits::default()).is_ok());
    let spent = within(Limits { work_max: 100, ..Limits::default() }).unwrap_err();
    assert!(spent.reason == Reason::TooMuchWork && spent.detail.contains("templates.work_max"), "{spent}");
    let full = within(Limits { output_octets_max: 1_999, ..Limits::default() }).unwrap_err();
    assert_eq!((full.reason, full.detail.as_str()), (Reason::TooLarge, "more than 1999 octets"));
    let nested = "{% include 'a' %}".to_owned();
    let mut small =
        library.clone().with_limits(Limits { depth_max: 15, source_octets_max: 20, ..Limits::default() });
    let name = |text: &str| text.parse().unwrap();
    assert_eq!(small.put(&name("t"), &page).unwrap_err().reason, Reason::TooLarge);
    small.put_kept(&name("t"), &page).unwrap();
    for (one, source) in [("a", "x".to_owned()), ("b", nested), ("c", "{% include 'b' %}".to_owned())] {
        small.put(&name(one), &html(&source)).unwrap();
    }
    assert!(small.render("b", &json!({})).is_ok());
    assert_eq!(small.render("c", &json!({})).unwrap_err().reason, Reason::TooDeep);
}

#[test]
fn a_broken_template_is_refused_with_its_line_and_changes_nothing() {
    let mut library = library(&[("t", html("good"))]);
    for (bad, line) in [("a\n{% if x %}", 2), ("{{ a | nothing }}", 1), ("a\n\n{% frob %}", 3)] {
        let name = "t".parse().unwrap();
        let error = match library.put(&name, &html(bad)) {
            Err(error) => error,
            // A filter is looked up when it is used.
            Ok(()) => library.render("t", &json!({"a": 1})).unwrap_err(),
        };
        assert_eq!((error.reason, error.line), (Reason::Syntax, Some(line)), "{bad}: {error}");
        library.put(&name, &html("good")).unwrap();
    }
    assert!(library.put(&"t".parse().unwrap(), &html("{{ 1 +")).is_err());
    assert_eq!(library.render("t", &json!({})).unwrap().html.unwrap(), "good");
    let large = html(&"x".repeat(600 << 10));
    assert_eq!(library.put(&"t".parse().unwrap(), &large).unwrap_err().reason, Reason::TooLarge);
    assert_eq!(library.render("gone", &json!({})).unwrap_err().reason, Reason::NotFound);
    assert_eq!(library.render("t", &json!([1])).unwrap_err().reason, Reason::Data);
}

#[test]
fn filters_write_what_mail_needs() {
    for (source, expected) in [
        ("{{ '2026-11-27T18:05:00Z' | date }}", "27 November 2026"),
        ("{{ '2026-11-07' | date('%a %d.%m.%y') }}", "Sat 07.11.26"),
        ("{{ 0 | date('%H:%M', offset='+02:00') }}", "02:00"),
        ("{{ 1299 | money('EUR', minor=true) }}", "€12.99"),
        ("{{ 12.5 | money('EUR', locale='de') }}", "12,50\u{a0}€"),
        ("{{ '0.1' | money('USD') }}", "$0.10"),
        ("{{ 1234567 | number }}", "1,234,567"),
        ("{{ 1 }} item{{ 1 | plural }}, {{ 2 | plural('child', 'children') }}", "1 item, children"),
        ("{{ 'a<\nb' | nl2br }}", "a&lt;<br>\nb"),
        ("{{ 'a b&c/ä' | urlencode }}", "a%20b%26c/%C3%A4"),
        ("{{ 'abcdef' | truncate(4) }}", "abc…"),
        ("{{ 'jane.doe@example.org' | mask }}", "j•••@example.org"),
    ] {
        assert_eq!(rendered_html(source, &json!({})).unwrap(), expected, "{source}");
    }
    for (source, told) in [
        ("{{ 'soon' | date }}", "RFC 3339"),
        ("{{ 1 | date('%Q') }}", "%Q"),
        ("{{ 1 | date(offset='CET') }}", "+02:00"),
        ("{{ 99999999999999 | date }}", "calendar"),
        ("{{ true | money('EUR') }}", "number"),
        ("{{ gone | money('EUR') }}", "`money('EUR')`: its value"),
    ] {
        let error = rendered_html(source, &json!({})).unwrap_err();
        assert!(error.to_string().contains(told), "{source}: {error}");
    }
}

#[test]
fn variables_are_told() {
    let library = library(&[("t", html("{{ a.b }}{% for i in items %}{{ i }}{% endfor %}{{ range(3) }}"))]);
    assert_eq!(library.variables("t"), ["a.b", "items"]);
}
