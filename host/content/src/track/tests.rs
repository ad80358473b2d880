use bytes::Bytes;

use super::*;
use crate::link::LinkKey;

const AT: UnixMs = UnixMs(1_795_802_000_000);

fn tracker() -> Tracker {
    Tracker {
        keys: LinkKeys::new(vec![LinkKey::new(1, &[1; 32]).unwrap()]).unwrap(),
        base_url: "https://links.example".into(),
        link_lifetime: Duration::from_secs(1_000),
        unsubscribe_lifetime: Duration::from_secs(2_000),
        unsubscribe_mailbox: None,
    }
}

fn tracked(message: &[u8], wish: Wish) -> (String, Tracked) {
    let recipient = "jane@example.org".parse().unwrap();
    let whose = Whose {
        message: MessageId::first_at(AT),
        recipient: &recipient,
        tenant: "acme",
        stream: "news",
        at: AT,
    };
    let content = Content::split(Bytes::copy_from_slice(message));
    let done = tracker().track(content, &MimeLimits::default(), &whose, wish).unwrap();
    let octets = done.content.clone().into_body(Bytes::new()).to_bytes();
    (octets.iter().map(|octet| char::from(*octet)).collect(), done)
}

/// The quoted-printable text without its soft line breaks and quotes.
fn unquoted(text: &str) -> String {
    text.replace("=\r\n", "").replace("=3D", "=").replace("=3d", "=")
}

fn claims(text: &str, path: &str) -> Vec<Claim> {
    let start = format!("https://links.example/{path}/");
    let token = |rest: &str| {
        rest.split(|end: char| !(end.is_ascii_alphanumeric() || "-_".contains(end)))
            .next()
            .unwrap()
            .to_owned()
    };
    unquoted(text).split(&start).skip(1).map(|rest| tracker().keys.open(&token(rest), AT).unwrap()).collect()
}

const ALL: Wish = Wish { opens: true, clicks: true, unsubscribe: true };

#[test]
fn links_pixel_and_fields_are_put_in() {
    let message = b"From: a@b.example\r\nX-Baton-Track: opens\r\nSubject: x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
        <body><a href=\"https://shop.example/?a=1&amp;b=2\">x</a><a href=\"https://unsubscribe.baton.invalid/\">leave</a></body>\r\n";
    let (text, done) = tracked(message, ALL);
    assert!(!text.contains("X-Baton-Track"));
    assert_eq!((done.links, done.pixel, done.unsubscribe), (1, true, true));
    assert_eq!(done.summary().unwrap(), "1 link, a pixel, a way to unsubscribe");
    let clicks = claims(&text, "c");
    assert_eq!(clicks[0].action, Action::Click { target: "https://shop.example/?a=1&b=2".into() });
    assert_eq!(
        (clicks[0].recipient.to_string().as_str(), clicks[0].tenant.as_str()),
        ("jane@example.org", "acme")
    );
    assert_eq!(clicks[0].ends_s, AT.0 / 1_000 + 1_000);
    assert_eq!(claims(&text, "o")[0].action, Action::Open);
    // In the field and in the text.
    assert_eq!(claims(&text, "u").len(), 2);
    assert_eq!(claims(&text, "u")[0].ends_s, AT.0 / 1_000 + 2_000);
    assert!(text.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"));
}

#[test]
fn nothing_but_what_was_asked_for_changes() {
    let plain =
        "From: a@b.example\r\nContent-Type: text/html\r\n\r\n<a href=\"https://x.example/\">x</a>\r\n";
    let with_field = plain.replace("Content-Type", "X-Baton-Track: none\r\nContent-Type");
    assert_eq!(
        tracked(with_field.as_bytes(), Wish::default()),
        (
            plain.to_owned(),
            Tracked {
                content: Content::split(Bytes::copy_from_slice(plain.as_bytes())),
                ..Tracked::default()
            }
        )
    );
    let (text, _) = tracked(plain.as_bytes(), Wish { clicks: true, ..Wish::default() });
    assert!(claims(&text, "o").is_empty() && !text.contains("List-Unsubscribe"));
    // A sender's own field stays alone.
    let own = plain.replace("From:", "List-Unsubscribe: <mailto:leave@b.example>\r\nFrom:");
    let (text, done) = tracked(own.as_bytes(), Wish { unsubscribe: true, ..Wish::default() });
    assert_eq!((text, done.unsubscribe), (own, false));
}

#[test]
fn every_octet_of_other_charsets_stays() {
    let message = b"Content-Type: text/html; charset=iso-8859-1\r\n\r\nGr\xfc\xdfe <a href=\"https://x.example/\">\xe4</a>\r\n";
    let (text, done) = tracked(message, Wish { clicks: true, ..Wish::default() });
    assert_eq!(done.links, 1);
    assert!(unquoted(&text).contains("Gr=FC=DFe <a href=\"https://links.example/c/"), "{text}");
    assert!(text.contains("=E4</a>"));
    for charset in ["iso-2022-jp", "utf-16", "gb18030"] {
        let message =
            format!("Content-Type: text/html; charset={charset}\r\n\r\n<a href=\"https://x.example/\">\r\n");
        assert_eq!(tracked(message.as_bytes(), ALL).1.links, 0, "{charset}");
    }
}

#[test]
fn a_text_part_gets_its_link_to_unsubscribe() {
    let message =
        format!("Content-Type: text/plain\r\n\r\nLeave: {UNSUBSCRIBE_PLACEHOLDER}\r\nhttps://x.example/\r\n");
    let content = Content::split(Bytes::copy_from_slice(message.as_bytes()));
    assert_eq!(has_placeholder(&content, &MimeLimits::default()), Ok(true));
    let (text, done) = tracked(message.as_bytes(), Wish::default());
    assert_eq!((claims(&text, "u").len(), done.unsubscribe), (1, true));
    assert!(text.contains("https://x.example/"));
}

#[test]
fn a_signed_message_is_not_touched() {
    let message =
        "DKIM-Signature: v=1; b=x\r\nContent-Type: text/html\r\n\r\n<a href=\"https://x.example/\">\r\n";
    let (text, done) = tracked(message.as_bytes(), Wish { opens: true, clicks: true, unsubscribe: false });
    assert_eq!((text.as_str(), done.links), (message, 0));
}

#[test]
fn wishes_are_read_and_written() {
    for (text, wish) in [
        ("opens, clicks", Wish { opens: true, clicks: true, unsubscribe: false }),
        ("Unsubscribe", Wish { unsubscribe: true, ..Wish::default() }),
        ("none", Wish::default()),
    ] {
        assert_eq!(text.parse(), Ok(wish));
        assert_eq!(wish.to_string().parse(), Ok(wish));
    }
    for bad in ["", "all", "none, opens", "opens; clicks"] {
        assert_eq!(bad.parse::<Wish>(), Err(InvalidWish), "{bad}");
    }
}
