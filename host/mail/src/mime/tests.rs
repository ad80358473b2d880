//! Shapes and bombs.

use bytes::Bytes;

use super::*;

fn shape_of(message: impl Into<Vec<u8>>) -> Result<Shape, TooComplex> {
    check_shape(&Content::split(Bytes::from(message.into())), &MimeLimits::default())
}

#[test]
fn a_plain_message_is_one_part() {
    let shape = shape_of("Subject: x\r\n\r\nbody\r\n").unwrap();
    assert_eq!(shape, Shape { parts: 1, depth: 0, eight_bit: false, longest_line_octets: 10 });
    assert!(shape_of("Subject: x\r\n\r\nKöln\r\n").unwrap().eight_bit);
}

#[test]
fn nested_multiparts_and_messages_are_counted() {
    let message = "Content-Type: Multipart/Mixed;\r\n boundary=\"a b\"\r\n\r\npreamble\r\n\
        --a b\r\n\r\ntext\r\n\
        --a b\r\ncontent-type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\n1\r\n--c\r\n\r\n2\r\n--c--\r\n\
        --a b\r\nContent-Type: (x) message/rfc822\r\n\r\nSubject: in\r\n\r\nbody\r\n\
        --a b--\r\nepilogue\r\n--c\r\n";
    let shape = shape_of(message).unwrap();
    assert_eq!((shape.parts, shape.depth), (7, 2));
}

#[test]
fn digests_hold_messages() {
    let message = "Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nSubject: 1\r\n\r\n--x\r\n\r\nSubject: 2\r\n--x--\r\n";
    let shape = shape_of(message).unwrap();
    assert_eq!((shape.parts, shape.depth), (5, 2));
}

#[test]
fn bombs_are_too_complex() {
    let nested_multipart = (0..100)
        .map(|level| format!("Content-Type: multipart/mixed; boundary=b{level}x\r\n\r\n--b{level}x\r\n"))
        .collect::<String>();
    let sections = (0..1_000).map(|n| format!(";\r\n name*{n}=x")).collect::<String>();
    let field = |octets: usize| format!("X: {}\r\n", "y".repeat(octets));
    for (what, bomb) in [
        ("levels of MIME nesting", "Content-Type:message/rfc822\r\n\r\n".repeat(22_000)),
        ("levels of MIME nesting", "Content-Type:message/global\n\n".repeat(22_000)),
        ("levels of MIME nesting", nested_multipart),
        (
            "MIME parts",
            format!("Content-Type: multipart/mixed; boundary=x\r\n\r\n{}", "--x\r\n\r\n".repeat(100_000)),
        ),
        (
            "MIME parts",
            format!("Content-Type: multipart/digest; boundary=x\r\n\r\n{}", "--x\r\n".repeat(100_000)),
        ),
        ("parameter sections", format!("Content-Type: text/plain{sections}\r\n\r\n")),
        ("parameter sections", format!("Content-Disposition: attachment{sections}\r\n\r\n")),
        ("header fields", "a:\r\n".repeat(60_000)),
        ("header octets", field(300_000)),
        ("octets in a Content-Type", format!("Content-Type: {}\r\n\r\n", "y".repeat(20_000))),
        (
            "octets in a boundary",
            format!("Content-Type: multipart/mixed; boundary={}\r\n\r\n", "y".repeat(300)),
        ),
        (
            "forms of one boundary",
            "Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\r\n\r\n".to_owned(),
        ),
        (
            "Content-Type fields in a part",
            "Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n".to_owned(),
        ),
    ] {
        assert_eq!(shape_of(bomb).unwrap_err().what, what);
    }
}

#[test]
fn odd_but_harmless_messages_have_a_shape() {
    for odd in [
        "",
        "\r\n",
        "Content-Type: multipart/mixed\r\n\r\n--\r\n",
        "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n",
        "Content-Type: multipart/mixed; boundary=\"x\r\n\r\n--x\r\n",
        "Content-Type: text/plain (((\r\n\r\n",
        "Content-Type: ;;;=;=;\r\n\r\n",
        "Content-Type\r\n\r\n",
    ] {
        assert!(shape_of(odd).is_ok(), "{odd:?}");
    }
}

fn parts_of(message: &str) -> Vec<Part> {
    let content = Content::split(Bytes::from(message.to_owned().into_bytes()));
    let tree = std::sync::Arc::new(read_tree(&content, &MimeLimits::default()).unwrap());
    (0..tree.len()).map(|index| tree.part(index, &content).unwrap()).collect()
}

const LETTER: &str = "Subject: x\r\nContent-Type: multipart/mixed; boundary=\"a b\"\r\n\r\npreamble\r\n\
    --a b\r\ncontent-type: multipart/alternative; boundary=c\r\n\r\n\
    --c\r\nContent-Type: TEXT/Plain; charset=ISO-8859-1\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\n\
    K=F6ln http://a.example/=\r\nx\r\n--c\r\nContent-Type: text/html\r\n\r\n\
    <p>Hi <a href=\"http://b.example\">you</a></p>\r\n--c--\r\n\
    --a b\r\nContent-Type: application/x-msdownload; name=\"wrong.txt\"\r\n\
    Content-Disposition: ATTACHMENT;\r\n filename*0*=utf-8''r%C3%A9sum%C3%A9;\r\n filename*1=.exe\r\n\
    Content-Transfer-Encoding: base64\r\nX-Note: =?utf-8?Q?caf=C3=A9?=\r\n\r\naGVsbG8=\r\n\
    --a b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninner\r\n\
    --a b\r\n\r\nno type\r\n--a b--\r\nepilogue\r\n";

#[test]
fn leaves_are_found_where_they_stand() {
    let parts = parts_of(LETTER);
    let seen: Vec<_> = parts
        .iter()
        .map(|part| (part.content_type().to_owned(), part.within().collect::<Vec<_>>().join("/")))
        .collect();
    let expected = [
        ("text/plain", "mixed/alternative"),
        ("text/html", "mixed/alternative"),
        ("application/x-msdownload", "mixed"),
        ("text/plain", "mixed/rfc822"),
        ("text/plain", "mixed"),
    ];
    assert_eq!(seen, expected.map(|(kind, within)| (kind.to_owned(), within.to_owned())));
    let raw: Vec<_> = parts
        .iter()
        .map(|part| {
            let (offset, len) = part.raw_range();
            &LETTER[offset as usize..(offset + len) as usize]
        })
        .collect();
    assert_eq!(raw[2..], ["aGVsbG8=", "inner", "no type"]);
}

#[test]
fn a_leaf_tells_what_its_header_says() {
    let parts = parts_of(LETTER);
    let [text, html, program, inner, bare] = &parts[..] else { panic!("{}", parts.len()) };
    assert_eq!((text.charset(), text.transfer_encoding()), (Some("iso-8859-1"), "quoted-printable"));
    assert_eq!(text.text(1_000, true), "Köln http://a.example/x");
    assert_eq!(text.text(4, false), "Köln");
    assert_eq!(text.links(10), ["http://a.example/x"]);
    assert_eq!(html.text(100, true), "Hi you");
    assert!(html.text(100, false).starts_with("<p>"));
    assert_eq!(html.links(10), ["http://b.example"]);
    assert_eq!((program.disposition(), program.filename()), (Some("attachment"), Some("résumé.exe")));
    assert_eq!(&program.decoded()[..], b"hello");
    assert_eq!(program.header("x-note").as_deref(), Some("café"));
    assert_eq!(inner.header("subject").as_deref(), Some("in"));
    assert_eq!((bare.transfer_encoding(), bare.filename(), bare.disposition()), ("7bit", None, None));
    assert!(bare.is_decoded() && bare.links(10).is_empty());
}

#[test]
fn odd_structures_have_leaves_too() {
    assert_eq!(&parts_of("Subject: x\r\n\r\nbody\r\n")[0].decoded()[..], b"body\r\n");
    assert_eq!(&parts_of("Subject: x\r\n")[0].decoded()[..], b"");
    assert_eq!(parts_of("Content-Type: multipart/mixed; boundary=x\r\n\r\nnone\r\n").len(), 0);
    assert_eq!(parts_of("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n--x\r\n--x--\r\n").len(), 2);
    assert_eq!(parts_of("Content-Type: ???\r\n\r\nbody\r\n")[0].content_type(), "text/plain");
    let digest = parts_of(
        "Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nSubject: 1\r\n\r\na\r\n--x--\r\n",
    );
    assert_eq!((digest.len(), digest[0].header("subject").as_deref()), (1, Some("1")));
    let encoded = parts_of(
        "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA==\r\n",
    );
    assert_eq!(
        (encoded[0].content_type(), &encoded[0].decoded()[..]),
        ("message/rfc822", &b"Subject: x"[..])
    );
    let named = parts_of("Content-Disposition: inline; filename=\"=?utf-8?B?w6kucG5n?=\"\r\n\r\n");
    assert_eq!(named[0].filename(), Some("é.png"));
}

mod random {
    use proptest::prelude::*;

    use super::*;

    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec()),
            Just(b"Content-Type: message/rfc822\r\n\r\n".to_vec()),
            Just(
                b"Content-Type: text/html; charset=utf-7\r\nContent-Transfer-Encoding: base64\r\n\r\n"
                    .to_vec()
            ),
            Just(b"--b\r\n".to_vec()),
            Just(b"--b--\r\n".to_vec()),
            Just(b"\r\n".to_vec()),
            prop::collection::vec(any::<u8>(), 0..40),
        ]
    }

    proptest! {
        #[test]
        fn any_octets_have_leaves_within_the_message(pieces in prop::collection::vec(piece(), 0..20)) {
            let content = Content::split(Bytes::from(pieces.concat()));
            let (shape, tree) = (check_shape(&content, &MimeLimits::default()), read_tree(&content, &MimeLimits::default()));
            prop_assert_eq!(shape.is_ok(), tree.is_ok());
            let Ok(tree) = tree.map(std::sync::Arc::new) else { return Ok(()) };
            prop_assert!(tree.len() <= shape.unwrap().parts);
            let mut last = 0;
            for part in (0..tree.len()).filter_map(|index| tree.part(index, &content)) {
                let (offset, len) = part.raw_range();
                prop_assert!(last <= offset && offset + len <= content.len());
                last = offset + len;
                prop_assert!(part.decoded().len() as u64 <= len);
                let _ = (part.text(100, true), part.links(5), part.filename().map(str::len), part.header("a"));
            }
        }
    }
}
