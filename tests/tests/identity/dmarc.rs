//! DMARC by RFC 9989: the examples of its appendix B.4 and the rules of sections 4.7 and 4.10, one case each.

use anyhow::Result;
use baton_identity::{DmarcOutcome, Verdict};
use baton_mail::ReversePath;
use baton_tests::dns::{DnsServer, Fault};
use baton_tests::suite;
use hickory_proto::rr::RecordType;

use super::check;

/// One case: what is published, who writes, who passed SPF, what comes out.
struct Case {
    name: &'static str,
    zone: &'static str,
    author: &'static str,
    /// The domain in MAIL, for which SPF passes.
    sender: &'static str,
    verdict: Verdict,
    /// The wish, and where the record stands.
    policy: Option<(&'static str, &'static str)>,
}

const fn case(
    name: &'static str,
    zone: &'static str,
    author: &'static str,
    sender: &'static str,
    verdict: Verdict,
    policy: Option<(&'static str, &'static str)>,
) -> Case {
    Case { name, zone, author, sender, verdict, policy }
}

use Verdict::{Fail, None as Nothing, Pass};

const CASES: &[Case] = &[
    case(
        "4.4: the same domain, strict",
        "_dmarc.example.com TXT 'v=DMARC1; p=reject; aspf=s'",
        "example.com",
        "example.com",
        Pass,
        Some(("reject", "example.com")),
    ),
    case(
        "4.4: another domain of the organization, relaxed",
        "_dmarc.example.com TXT 'v=DMARC1; p=reject'",
        "mail.example.com",
        "example.com",
        Pass,
        Some(("reject", "example.com")),
    ),
    case(
        "4.4: another domain of the organization, strict",
        "_dmarc.example.com TXT 'v=DMARC1; p=reject; aspf=s'",
        "mail.example.com",
        "example.com",
        Fail,
        Some(("reject", "example.com")),
    ),
    case(
        "4.4: a stranger",
        "_dmarc.example.com TXT 'v=DMARC1; p=reject'",
        "example.com",
        "other.example",
        Fail,
        Some(("reject", "example.com")),
    ),
    case(
        "4.4: a name that only ends alike",
        "_dmarc.example.com TXT 'v=DMARC1; p=reject'",
        "example.com",
        "notexample.com",
        Fail,
        Some(("reject", "example.com")),
    ),
    case("4.10: no record", "example.com A 192.0.2.1", "example.com", "example.com", Nothing, None),
    case(
        "4.10: several records count as none",
        "_dmarc.example.com TXT 'v=DMARC1; p=reject'\n_dmarc.example.com TXT 'v=DMARC1; p=none'",
        "example.com",
        "example.com",
        Nothing,
        None,
    ),
    case(
        "4.10: several records of the author end the search",
        "_dmarc.mail.example.com TXT 'v=DMARC1; p=reject'\n_dmarc.mail.example.com TXT 'v=DMARC1; p=quarantine'\n_dmarc.example.com TXT 'v=DMARC1; p=none'",
        "mail.example.com",
        "other.example",
        Nothing,
        None,
    ),
    case(
        "4.10: other texts are no records",
        "_dmarc.mail.example.com TXT 'some other text'\n_dmarc.mail.example.com TXT 'and another'\n_dmarc.example.com TXT 'v=DMARC1; p=quarantine'",
        "mail.example.com",
        "example.com",
        Pass,
        Some(("quarantine", "example.com")),
    ),
    case(
        "4.10: strings of one record are joined",
        "_dmarc.example.com TXT 'v=DMARC1; p=re' 'ject'",
        "example.com",
        "example.com",
        Pass,
        Some(("reject", "example.com")),
    ),
    case(
        "A.6: pct is gone, for what passes",
        "_dmarc.example.com TXT 'v=DMARC1; p=reject; pct=0'",
        "example.com",
        "example.com",
        Pass,
        Some(("reject", "example.com")),
    ),
    case(
        "A.6: pct is gone, for what fails",
        "_dmarc.example.com TXT 'v=DMARC1; p=reject; pct=0'",
        "example.com",
        "other.example",
        Fail,
        Some(("reject", "example.com")),
    ),
    case(
        "B.4.1: a simple hierarchy",
        "_dmarc.example.com TXT 'v=DMARC1; p=reject'\n_dmarc.signing.example.com TXT 'v=DMARC1; p=reject'",
        "example.com",
        "signing.example.com",
        Pass,
        Some(("reject", "example.com")),
    ),
    case(
        "B.4.2: a deep author",
        "_dmarc.example.com TXT 'v=DMARC1; p=reject'",
        "a.b.c.d.e.f.g.h.i.j.k.example.com",
        "signing.example.com",
        Pass,
        Some(("reject", "example.com")),
    ),
    case(
        "B.4.3: below a public suffix, the same organization",
        BANK,
        "giant.bank.example",
        "mail.giant.bank.example",
        Pass,
        Some(("quarantine", "giant.bank.example")),
    ),
    case(
        "B.4.3: below a public suffix, another organization",
        BANK,
        "giant.bank.example",
        "mail.mega.bank.example",
        Fail,
        Some(("quarantine", "giant.bank.example")),
    ),
    case(
        "4.10.1: the record of the suffix for who has none",
        BANK,
        "tiny.bank.example",
        "other.example",
        Fail,
        Some(("reject", "bank.example")),
    ),
    case(
        "4.10.1: the record of the suffix does not override",
        "_dmarc.example TXT 'v=DMARC1; p=reject; psd=y'\n_dmarc.foo.example TXT 'v=DMARC1; p=none'",
        "foo.example",
        "other.test",
        Fail,
        Some(("none", "foo.example")),
    ),
    case(
        "4.10.2: psd=n ends the walk",
        "_dmarc.b.example.com TXT 'v=DMARC1; p=reject; psd=n'\n_dmarc.example.com TXT 'v=DMARC1; p=none'",
        "a.b.example.com",
        "example.com",
        Fail,
        Some(("reject", "b.example.com")),
    ),
    case(
        "4.7 np: a name that does not exist",
        MISSING,
        "sub.example.com",
        "other.example",
        Fail,
        Some(("quarantine", "example.com")),
    ),
    case(
        "4.7 sp: a name with an address exists",
        MISSING,
        "www.example.com",
        "other.example",
        Fail,
        Some(("none", "example.com")),
    ),
    case(
        "4.7 sp: a name with any record exists",
        MISSING,
        "mail.example.com",
        "other.example",
        Fail,
        Some(("none", "example.com")),
    ),
    case(
        "4.7 np: without np, sp",
        "_dmarc.example.com TXT 'v=DMARC1; p=reject; sp=none'",
        "sub.example.com",
        "other.example",
        Fail,
        Some(("none", "example.com")),
    ),
    case(
        "4.7 sp: without sp, p",
        "_dmarc.example.com TXT 'v=DMARC1; p=reject'",
        "sub.example.com",
        "other.example",
        Fail,
        Some(("reject", "example.com")),
    ),
    case(
        "4.7 t: reject becomes quarantine",
        "_dmarc.example.com TXT 'v=DMARC1; p=reject; t=y'",
        "example.com",
        "other.example",
        Fail,
        Some(("quarantine", "example.com")),
    ),
    case(
        "4.7 t: quarantine becomes none",
        "_dmarc.example.com TXT 'v=DMARC1; p=quarantine; t=y'",
        "example.com",
        "other.example",
        Fail,
        Some(("none", "example.com")),
    ),
    case(
        "4.10.1: without p, with rua",
        "_dmarc.example.com TXT 'v=DMARC1; rua=mailto:d@example.com'",
        "example.com",
        "example.com",
        Pass,
        Some(("none", "example.com")),
    ),
    case(
        "4.10.1: without p and rua",
        "_dmarc.example.com TXT 'v=DMARC1; adkim=s'",
        "example.com",
        "example.com",
        Nothing,
        None,
    ),
    case(
        "4.7 v: another case is another version",
        "_dmarc.example.com TXT 'v=dmarc1; p=reject'",
        "example.com",
        "example.com",
        Nothing,
        None,
    ),
    case(
        "4.7 v: more behind it is another version",
        "_dmarc.example.com TXT 'v=DMARC1x; p=reject'",
        "example.com",
        "example.com",
        Nothing,
        None,
    ),
    case(
        "4.7 v: blanks around =",
        "_dmarc.example.com TXT 'v = DMARC1; p = reject'",
        "example.com",
        "example.com",
        Pass,
        Some(("reject", "example.com")),
    ),
    case(
        "4.7: words in any case",
        "_dmarc.example.com TXT 'v=DMARC1; p=Reject; aspf=S'",
        "mail.example.com",
        "example.com",
        Fail,
        Some(("reject", "example.com")),
    ),
];

const BANK: &str = "_dmarc.bank.example TXT 'v=DMARC1; p=reject; psd=y; rua=mailto:psd@bank.example'\n_dmarc.giant.bank.example TXT 'v=DMARC1; p=quarantine'";
const MISSING: &str = "_dmarc.example.com TXT 'v=DMARC1; p=reject; sp=none; np=quarantine'\nwww.example.com A 192.0.2.10\nmail.example.com MX 1 mx.example.com";

#[tokio::test]
async fn the_rules_and_examples_of_rfc_9989() -> Result<()> {
    let (mut passed, mut failed) = (0, Vec::new());
    for case in CASES {
        let server = DnsServer::start(&zone(case.zone, case.sender)).await?;
        let outcome = evaluate(&server, case).await?;
        let policy = outcome.wish.map(|wish| wish.to_string()).zip(outcome.record_at.clone());
        let expected = case.policy.map(|(wish, at)| (wish.to_owned(), at.to_owned()));
        if (outcome.verdict, &policy) == (case.verdict, &expected) {
            passed += 1;
        } else {
            failed.push(format!("{}: {outcome:?}", case.name));
        }
    }
    suite::conclude("DMARC, RFC 9989", passed, &failed)
}

#[tokio::test]
async fn a_deep_name_costs_eight_questions() -> Result<()> {
    let deep = case(
        "",
        "_dmarc.example.com TXT 'v=DMARC1; p=none'",
        "a.b.c.d.e.f.g.h.i.j.k.example.com",
        "other.test",
        Fail,
        None,
    );
    let server = DnsServer::start(&zone(deep.zone, deep.sender)).await?;
    evaluate(&server, &deep).await?;
    let mut asked = 0;
    let labels: Vec<&str> = deep.author.split('.').collect();
    for start in 0..labels.len() {
        asked += server.questions(&format!("_dmarc.{}", labels[start..].join(".")), RecordType::TXT);
    }
    assert_eq!(asked, 8);
    Ok(())
}

#[tokio::test]
async fn trouble_is_never_a_pass_and_never_no_policy() -> Result<()> {
    let plain = case(
        "",
        "_dmarc.example.com TXT 'v=DMARC1; p=reject'",
        "mail.example.com",
        "example.com",
        Fail,
        None,
    );
    for name in ["_dmarc.mail.example.com", "_dmarc.example.com", "_dmarc.com", "example.com"] {
        let server = DnsServer::start(&zone(plain.zone, plain.sender)).await?;
        server.set_fault(name, Some(Fault::Failure));
        let outcome = evaluate(&server, &plain).await?;
        assert_eq!(outcome.verdict, Verdict::TempError, "{name}: {outcome:?}");
    }
    Ok(())
}

async fn evaluate(server: &DnsServer, case: &Case) -> Result<DmarcOutcome> {
    let message = format!("From: Somebody <user@{}>\r\n\r\nbody\r\n", case.author);
    let sender = ReversePath::Mailbox(format!("user@{}", case.sender).parse()?);
    Ok(check(server.address(), sender, message.as_bytes()).await?.dmarc)
}

/// Zone text, with single quotes for double ones, and a record by which SPF passes for the sender.
fn zone(text: &str, sender: &str) -> String {
    let lines = text.lines().map(|line| line.replacen(' ', ". 60 IN ", 1).replace('\'', "\""));
    let lines: Vec<String> =
        lines.map(|line| if line.contains(" MX ") { format!("{line}.") } else { line }).collect();
    format!("{}\n{sender}. 60 IN TXT \"v=spf1 +all\"\n", lines.join("\n"))
}
