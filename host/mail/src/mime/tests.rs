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
