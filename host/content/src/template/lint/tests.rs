use std::borrow::Cow;

use serde_json::json;

use super::*;
use crate::template::Limits;

fn name(rule: Cow<'static, str>) -> &'static str {
    match rule {
        Cow::Borrowed(name) => name,
        Cow::Owned(name) => panic!("{name} is no rule"),
    }
}

fn findings(template: &Template, rules: &Rules) -> Vec<(Severity, &'static str, Option<usize>)> {
    let mut library = Library::new(Limits::default());
    library.put(&"t".parse().unwrap(), template).unwrap();
    lint(&library, "t", template, rules)
        .into_iter()
        .map(|found| (found.severity, name(found.rule), found.line))
        .collect()
}

fn page(html: &str) -> Template {
    Template {
        subject: Some("S".into()),
        html: Some(html.into()),
        text: Some("text".into()),
        sample: json!({"name": "Jane"}),
        ..Template::default()
    }
}

fn rules_of(html: &str) -> Vec<(&'static str, Option<usize>)> {
    findings(&page(html), &Rules::default()).into_iter().map(|(_, rule, line)| (rule, line)).collect()
}

#[test]
fn faults_of_the_page_are_told_with_their_lines() {
    for (html, expected) in [
        ("<p>fine<p>fine<br><img src=\"https://x.example/a.png\" alt=\"\">", vec![]),
        ("<div>\n<b>x</div>", vec![("tag-unclosed", Some(2))]),
        ("<table><tr><td>x\n<div>", vec![("tag-unclosed", Some(1)), ("tag-unclosed", Some(2))]),
        ("x\n</div>", vec![("tag-unopened", Some(2))]),
        ("\n\n<img src=\"https://x.example/a.png\">", vec![("image-alt", Some(3))]),
        ("<a href=\"\">x</a>", vec![("link-empty", Some(1))]),
        ("<a href=\"/a\">x</a>", vec![("link-relative", Some(1))]),
        ("<a href=\"javascript:x\">x</a>", vec![("link-script", Some(1))]),
        ("<a href=\"http://x.example\">x</a>", vec![("link-insecure", Some(1))]),
        ("<img src=\"data:image/png;base64,AA\" alt=\"\">", vec![("image-data", Some(1))]),
        ("<a href=\"#top\">x</a><a href=\"mailto:a@b.example\">y</a><img src=\"cid:a@b\" alt=\"\">", vec![]),
        ("<html><body></html>", vec![("language", Some(1))]),
        ("<form>\n</form>", vec![("not-shown", Some(1))]),
        ("<svg><path/></svg>", vec![]),
    ] {
        assert_eq!(rules_of(html), expected, "{html}");
    }
}

#[test]
fn what_gmail_would_clip_is_told() {
    assert_eq!(rules_of(&"x".repeat(CLIPPED_OCTETS)), []);
    assert_eq!(rules_of(&"x".repeat(CLIPPED_OCTETS + 1)), [("size", None)]);
}

#[test]
fn variables_are_checked_against_the_sample() {
    assert_eq!(rules_of("{{ name }}"), []);
    assert_eq!(rules_of("{% if nick %}{{ nick }}{% endif %}"), [("variable-missing", None)]);
    let found = findings(&page("\n{{ nick }}"), &Rules::default());
    assert_eq!(found[0], (Severity::Error, "render", Some(2)));
}

#[test]
fn bulk_mail_needs_a_way_out_and_an_address() {
    let bulk = Rules { bulk: true, addresses: Vec::new() };
    let own = StreamAddress {
        stream: "news".into(),
        address: "1 Market Street, Springfield 12345".into(),
        severity: Severity::Error,
    };
    let named = Rules { bulk: true, addresses: vec![own.clone()] };
    let rules = |html: &str, text: &str, rules: &Rules| -> Vec<(&str, Option<Part>)> {
        let template = Template { text: Some(text.into()), ..page(html) };
        let mut library = Library::new(Limits::default());
        library.put(&"t".parse().unwrap(), &template).unwrap();
        lint(&library, "t", &template, rules)
            .into_iter()
            .map(|found| (name(found.rule), found.part))
            .collect()
    };
    let good =
        "<a href=\"{{ unsubscribe_url }}\">Unsubscribe</a><p>1 Market Street<br>Springfield, 12345</p>";
    let good_text = "Leave: {{ unsubscribe_url }}\n1 Market Street, Springfield 12345";
    assert_eq!(rules(good, good_text, &bulk), []);
    assert_eq!(rules(good, good_text, &named), []);
    assert_eq!(
        rules(good, "text", &named),
        [("unsubscribe", Some(Part::Text)), ("postal-address", Some(Part::Text))]
    );
    let other = good.replace("1 Market", "2 Market");
    assert_eq!(rules(&other, good_text, &named), [("postal-address", Some(Part::Html))]);
    // A stream asks for its own address, of mail to one as well.
    let only_named = Rules { bulk: false, addresses: vec![own] };
    assert_eq!(
        rules("<p>no</p>", "1 Market Street, Springfield 12345", &only_named),
        [("postal-address", Some(Part::Html))]
    );
    let mut library = Library::new(Limits::default());
    library.put(&"t".parse().unwrap(), &page("x")).unwrap();
    assert_eq!(
        lint(&library, "t", &page("x"), &only_named)[0].message,
        "Mail of the stream news needs the postal address of the sender in its text: \
         1 Market Street, Springfield 12345"
    );
    assert_eq!(rules("<p>no</p>", "no", &bulk).len(), 4);
    assert_eq!(rules("<p>no</p>", "no", &Rules::default()), []);
}

#[test]
fn subjects_are_checked() {
    let of = |subject: &str| {
        let template = Template { subject: Some(subject.into()), ..page("<p>x") };
        findings(&template, &Rules::default()).into_iter().map(|(_, rule, _)| rule).collect::<Vec<_>>()
    };
    assert_eq!(of("  \n"), ["subject-empty"]);
    assert_eq!(of(&"x".repeat(71)), ["subject-long"]);
}
