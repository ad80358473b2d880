//! What the demo sends, and what must come of it.

use super::blocklist::LISTED;
use super::stage::CREDENTIALS;

/// How a message is handed to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By SMTP from this machine.
    Smtp,
    /// By SMTP from the address that the blocklist names.
    ListedClient,
    /// By submission, with these credentials.
    Submission(&'static str),
}

/// What a message is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A file of the corpus.
    File(&'static str),
    /// Made up, so large.
    MadeUp { octets: usize },
}

/// Where a message arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The SMTP sink, next hop of everything else.
    Sink,
    /// The LMTP sink, to which `route-map` sends the archive.
    Mailstore,
}

impl Place {
    /// The sink's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Place::Sink => "sink",
            Place::Mailstore => "mailstore",
        }
    }
}

/// Something that must be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// One copy arrived for these recipients, its content octet for octet.
    Arrives { place: Place, recipients: &'static [&'static str] },
    /// The arrived copy has this header line, and its body is what was sent.
    Tagged { recipient: &'static str, line: &'static str },
    /// The relay refused it with a reply that begins so; the story names this plugin.
    RefusedBy { plugin: &'static str, reply: &'static str },
    /// The session did not come to a message: the relay's word contains this.
    TurnedAway { word: &'static str },
    /// The story has an event of this kind which says this.
    Told { kind: &'static str, word: &'static str },
    /// A report about this recipient arrived at the sender.
    Reported { sender: &'static str, about: &'static str },
    /// Nothing arrived for this address.
    Nothing { recipient: &'static str },
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Act {
    pub(super) title: &'static str,
    pub(super) content: Content,
    pub(super) way: Way,
    pub(super) sender: &'static str,
    pub(super) recipients: &'static [&'static str],
    pub(super) expect: &'static [Expect],
}

const MEBIBYTE: usize = 1 << 20;

/// All messages. Each has recipients of its own, so that what arrives can be told apart.
pub(super) const ACTS: &[Act] = &[
    Act {
        title: "An ordinary message",
        content: Content::File("plain.eml"),
        way: Way::Smtp,
        sender: "ada@sender.example",
        recipients: &["bo@dest.example"],
        expect: &[Expect::Arrives { place: Place::Sink, recipients: &["bo@dest.example"] }],
    },
    Act {
        title: "Attachments, to an alias that recipient-policy resolves",
        content: Content::File("multipart.eml"),
        way: Way::Smtp,
        sender: "ada@sender.example",
        recipients: &["office@local.example"],
        expect: &[
            Expect::Arrives { place: Place::Sink, recipients: &["ann@local.example", "bob@local.example"] },
            Expect::Told { kind: "accepted", word: "recipient-policy@" },
        ],
    },
    Act {
        title: "Addresses and header beyond ASCII",
        content: Content::File("smtputf8.eml"),
        way: Way::Smtp,
        sender: "õpetaja@sender.example",
        recipients: &["学生@dest.example"],
        expect: &[Expect::Arrives { place: Place::Sink, recipients: &["学生@dest.example"] }],
    },
    Act {
        title: "Octets beyond ASCII",
        content: Content::File("eight-bit.eml"),
        way: Way::Smtp,
        sender: "ada@sender.example",
        recipients: &["eight@dest.example"],
        expect: &[Expect::Arrives { place: Place::Sink, recipients: &["eight@dest.example"] }],
    },
    Act {
        title: "Very long lines",
        content: Content::File("long-lines.eml"),
        way: Way::Smtp,
        sender: "ada@sender.example",
        recipients: &["long@dest.example"],
        expect: &[Expect::Arrives { place: Place::Sink, recipients: &["long@dest.example"] }],
    },
    Act {
        title: "Ten mebibytes",
        content: Content::MadeUp { octets: 10 * MEBIBYTE },
        way: Way::Smtp,
        sender: "ada@sender.example",
        recipients: &["large@dest.example"],
        expect: &[Expect::Arrives { place: Place::Sink, recipients: &["large@dest.example"] }],
    },
    Act {
        title: "Three recipients, one of whom route-map sends elsewhere",
        content: Content::File("several-recipients.eml"),
        way: Way::Smtp,
        sender: "ada@sender.example",
        recipients: &["cleo@dest.example", "dirk@dest.example", "els@archive.example"],
        expect: &[
            Expect::Arrives { place: Place::Sink, recipients: &["cleo@dest.example", "dirk@dest.example"] },
            Expect::Arrives { place: Place::Mailstore, recipients: &["els@archive.example"] },
            Expect::Told { kind: "routed", word: "route-map@" },
        ],
    },
    Act {
        title: "A newsletter, which header-rules tags",
        content: Content::File("plain.eml"),
        way: Way::Smtp,
        sender: "news@lists.example",
        recipients: &["reader@dest.example"],
        expect: &[
            Expect::Tagged { recipient: "reader@dest.example", line: "X-Kind: newsletter" },
            Expect::Told { kind: "accepted", word: "header-rules@" },
        ],
    },
    Act {
        title: "A recipient whom recipient-policy refuses",
        content: Content::File("plain.eml"),
        way: Way::Smtp,
        sender: "ada@sender.example",
        recipients: &["old@local.example"],
        expect: &[
            Expect::RefusedBy { plugin: "recipient-policy@", reply: "550 5.1.6" },
            Expect::Nothing { recipient: "old@local.example" },
        ],
    },
    Act {
        title: "Deferred by greylisting, tried again by bounce-rules, delivered",
        content: Content::File("plain.eml"),
        way: Way::Smtp,
        sender: "ada@sender.example",
        recipients: &["carl@slow.example"],
        expect: &[
            Expect::Told { kind: "deferred", word: "greylisted, come back later" },
            Expect::Told { kind: "deferred", word: "bounce-rules@" },
            Expect::Arrives { place: Place::Sink, recipients: &["carl@slow.example"] },
        ],
    },
    Act {
        title: "Bounced: the sender gets a report",
        content: Content::File("plain.eml"),
        way: Way::Smtp,
        sender: "returns@local.example",
        recipients: &["nobody@gone.example"],
        expect: &[
            Expect::Told { kind: "failed", word: "no such user here" },
            Expect::Reported { sender: "returns@local.example", about: "nobody@gone.example" },
            Expect::Nothing { recipient: "nobody@gone.example" },
        ],
    },
    Act {
        title: "A report that can not be delivered causes no other",
        content: Content::File("bounce.eml"),
        way: Way::Smtp,
        sender: "",
        recipients: &["somebody@gone.example"],
        expect: &[
            Expect::Told { kind: "failed", word: "no such user here" },
            Expect::Told { kind: "bounced", word: "" },
            Expect::Nothing { recipient: "somebody@gone.example" },
        ],
    },
    Act {
        title: "A wrong password, which auth-static refuses",
        content: Content::File("plain.eml"),
        way: Way::Submission("dora:wrong horse"),
        sender: "dora@local.example",
        recipients: &["wrong@dest.example"],
        expect: &[Expect::TurnedAway { word: "535" }, Expect::Nothing { recipient: "wrong@dest.example" }],
    },
    Act {
        title: "The right password, which auth-static allows",
        content: Content::File("plain.eml"),
        way: Way::Submission(CREDENTIALS),
        sender: "dora@local.example",
        recipients: &["right@dest.example"],
        expect: &[
            Expect::Arrives { place: Place::Sink, recipients: &["right@dest.example"] },
            Expect::Told { kind: "accepted", word: "auth-static@" },
        ],
    },
    Act {
        title: "A client on a blocklist, which dnsbl turns away",
        content: Content::File("plain.eml"),
        way: Way::ListedClient,
        sender: "spam@sender.example",
        recipients: &["victim@dest.example"],
        expect: &[Expect::TurnedAway { word: LISTED }, Expect::Nothing { recipient: "victim@dest.example" }],
    },
];
