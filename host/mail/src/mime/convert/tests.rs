//! What is changed, what is not, and what has no form that fits. That others read the same from both forms is checked with
//! Python's `email` package, in `tests/tests/relay/conversion.rs`.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn made(message: impl AsRef<[u8]>, fit: Fit) -> Result<Converted, NotConvertible> {
    convert(&Body::from(Bytes::copy_from_slice(message.as_ref())), fit, &MimeLimits::default())
}

fn text(message: impl AsRef<[u8]>, fit: Fit) -> String {
    String::from_utf8_lossy(&made(message, fit).unwrap().body.to_bytes()).into_owned()
}

#[test]
fn text_is_quoted_and_says_so() {
    assert_eq!(
        text(
            "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nIn K\u{f6}ln am Rhein\r\n",
            Fit::SevenBit
        ),
        "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\nIn K=C3=B6ln am Rhein\r\n"
    );
    assert_eq!(
        text("Subject: x\r\n\r\nabcdefgh \u{f6}\r\n", Fit::SevenBit),
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\nabcdefgh =C3=B6\r\n"
    );
    let latin = text(b"Subject: x\r\n\r\nabcdefgh \xf6\r\n", Fit::SevenBit);
    assert!(latin.contains("charset=unknown-8bit"), "RFC 1428 3: {latin}");
}

#[test]
fn what_is_mostly_beyond_ascii_is_base64() {
    let message = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: 8bit\r\n\r\n\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}\r\n";
    let made = text(message, Fit::SevenBit);
    assert!(made.contains("Content-Transfer-Encoding: base64\r\n\r\n0L/RgNC40LLQtdGCDQo=\r\n"), "{made}");
    assert_eq!(made.matches("Content-Transfer-Encoding").count(), 1, "{made}");
}

#[test]
fn only_the_part_that_needs_it_is_changed_and_labels_around_it_follow() {
    let message = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\
        Content-Transfer-Encoding: 8bit\r\n\r\nVorwort f\u{fc}r alle\r\n--b\r\n\r\nplain  \r\n\r\n\
        --b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: inner\r\n\r\nabcdefghijkl \u{f6}\r\n\
        --b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--b--\r\n";
    let converted = made(message, Fit::SevenBit).unwrap();
    assert_eq!((converted.quoted, converted.base64, converted.relabelled), (1, 0, 2));
    let text = String::from_utf8(converted.body.to_bytes().to_vec()).unwrap();
    for kept in [
        "boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n\r\nVorwort f??r alle\r\n--b\r\n\r\nplain  \r\n\r\n--b\r\n",
        "message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: inner\r\nMIME-Version: 1.0\r\n",
        "quoted-printable\r\n\r\nabcdefghijkl =C3=B6\r\n--b\r\nContent-Type: image/png\r\n",
        "\r\n\r\niVBORw0KGgo=\r\n--b--\r\n",
    ] {
        assert!(text.contains(kept), "{kept:?} is not in\n{text}");
    }
}

#[test]
fn binary_parts_become_lines() {
    let message = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\
        Content-Transfer-Encoding: binary\r\n\r\n--b\r\nContent-Type: application/octet-stream\r\n\
        Content-Transfer-Encoding: binary\r\n\r\n\0\r\n.\r\n\x80\r--c\n\r\n--b\r\nContent-Type: text/plain\r\n\
        Content-Transfer-Encoding: binary\r\n\r\nlines \xc3\xb6\r\n--b--\r\n";
    let converted = made(message, Fit::EightBit).unwrap();
    let text = String::from_utf8(converted.body.to_bytes().to_vec()).unwrap();
    assert!(text.contains("Content-Transfer-Encoding: base64\r\n\r\nAA0KLg0KgA0tLWMK\r\n--b\r\n"), "{text}");
    assert!(text.contains("Content-Transfer-Encoding: 8bit\r\n\r\nlines \u{f6}\r\n"), "{text}");
    assert_eq!((converted.base64, converted.relabelled), (1, 2), "{text}");
}

#[test]
fn encoded_parts_with_octets_that_can_not_be_are_encoded_anew() {
    let message = "MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        K\u{f6}ln=3D=\r\nx\r\n";
    assert!(text(message, Fit::SevenBit).ends_with("\r\n\r\nK=C3=B6ln=3Dx\r\n"));
}

#[test]
fn what_has_no_form_that_fits_is_named() {
    let signed = |body: &str| {
        format!(
            "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\nContent-Type: text/plain\r\n\r\n{body}\r\n\
             --s\r\nContent-Type: application/pkcs7-signature\r\n\r\nx\r\n--s--\r\n"
        )
    };
    assert_eq!(made(signed("gr\u{fc}n"), Fit::SevenBit), Err(NotConvertible::Signed));
    assert!(made(signed("green"), Fit::SevenBit).is_ok());
    assert_eq!(made("Message-ID: <gr\u{fc}n@x>\r\n\r\nx\r\n", Fit::SevenBit), Err(NotConvertible::Fields));
    assert_eq!(made("Gr\u{fc}n\r\nSubject: x\r\n\r\nx\r\n", Fit::SevenBit), Err(NotConvertible::Fields));
    assert_eq!(
        made(signed("green").replace("text/plain", "text/plain; name=gr\u{fc}n"), Fit::SevenBit),
        Err(NotConvertible::Signed)
    );
    assert!(made("Message-ID: <gr\u{fc}n@x>\r\n\r\nx\r\n", Fit::EightBit).is_ok());
    for odd in [
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\n\r\n\0\r\n--b--\r\n",
        "Content-Type: multipart/mixed\r\n\r\n\u{fc}\r\n",
        "Content-Type: message/partial\r\n\r\n\u{fc}\r\n",
        "Content-Transfer-Encoding: x-token\r\n\r\n\u{fc}\r\n",
        "Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: base64\r\n\r\n\u{fc}\r\n",
        "Subject: a\rb\r\n\r\n\u{fc}\r\n",
    ] {
        assert_eq!(made(odd, Fit::SevenBit), Err(NotConvertible::Structure), "{odd:?}");
    }
    let bomb = "Content-Type:message/rfc822\r\n\r\n".repeat(22_000);
    assert!(matches!(made(bomb, Fit::SevenBit), Err(NotConvertible::TooComplex(_))));
}

#[test]
fn fields_beyond_ascii_become_words_and_parameters_of_their_charset() {
    let message = "From: J\u{fc}rgen <j@x.example>\r\nSubject: gr\u{fc}n\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
        Content-Disposition: attachment; filename=\"gr\u{fc}n.txt\"\r\nContent-Description: gr\u{fc}n\r\n\r\nplain\r\n--b--\r\n";
    let converted = made(message, Fit::SevenBit).unwrap();
    assert_eq!((converted.fields, converted.quoted), (4, 0));
    assert_eq!(converted.summary().as_deref(), Some("4 fields in encoded words"));
    assert_eq!(
        String::from_utf8(converted.body.to_bytes().to_vec()).unwrap(),
        "From: =?utf-8?B?SsO8cmdlbg==?= <j@x.example>\r\nSubject: =?utf-8?B?Z3LDvG4=?=\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
        Content-Disposition: attachment;\r\n\tfilename*=utf-8''gr%C3%BCn.txt\r\n\
        Content-Description: =?utf-8?B?Z3LDvG4=?=\r\n\r\nplain\r\n--b--\r\n"
    );
    assert_eq!(text(message, Fit::EightBit), message);
}

#[test]
fn what_fits_is_not_touched_and_signatures_are_seen() {
    let message = "DKIM-Signature: v=1\r\nSubject: x\r\n\r\n.\r\nbody  \r\n";
    let converted = made(message, Fit::SevenBit).unwrap();
    assert_eq!(converted.body.to_bytes(), message.as_bytes());
    assert!(converted.was_signed && converted.summary().is_none());
}

#[test]
fn of_several_labels_none_is_put_right() {
    let message = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\
                   Content-Transfer-Encoding: quoted-printable\r\n\r\nContent-Transfer-Encoding: binary\r\n";
    let body = Body::from(Bytes::from_static(message.as_bytes()));
    let converted = convert(&body, Fit::EightBit, &MimeLimits::default()).unwrap();
    assert_eq!((converted.body.to_bytes(), converted.relabelled), (message.into(), 0));
}

/// Pieces of which hostile mail is made.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"--b\r\n".to_vec()),
        Just(b"--b--\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"Content-Type: multipart/mixed; boundary=b\r\n".to_vec()),
        Just(b"Content-Type: message/rfc822\r\n".to_vec()),
        Just(b"Content-Type: text/html\r\n\r\n".to_vec()),
        Just(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n".to_vec()),
        Just(b"Content-Transfer-Encoding: base64\r\n\r\n".to_vec()),
        Just(b"Content-Transfer-Encoding: binary\r\n".to_vec()),
        Just(b"\n.\r\n".to_vec()),
        Just("gr\u{fc}n = \t\r\n".as_bytes().to_vec()),
        Just("Subject: gr\u{fc}n\r\n".as_bytes().to_vec()),
        Just(b"Content-Disposition: attachment; filename=\"gr\xfcn\"\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..200),
        Just(vec![b'x'; 1_200]),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_out_fits_and_is_left_alone_then(
        pieces in prop::collection::vec(piece(), 0..24), seven in any::<bool>(), cut in any::<prop::sample::Index>(),
    ) {
        let message = pieces.concat();
        let fit = if seven { Fit::SevenBit } else { Fit::EightBit };
        let (one, two) = message.split_at(cut.index(message.len() + 1));
        let body: Body = [one, two].into_iter().map(Bytes::copy_from_slice).collect();
        if let Ok(converted) = convert(&body, fit, &MimeLimits::default()) {
            let octets = converted.body.to_bytes();
            prop_assert!(!lines::has_stray(&octets) && !octets.contains(&0));
            prop_assert!(!seven || octets.is_ascii());
            let again = convert(&converted.body, fit, &MimeLimits::default()).unwrap();
            prop_assert_eq!(again.body.to_bytes(), octets);
        }
    }
}
