//! The client against scripted peers.

use baton_mail::{Body, EnhancedCode, Phase, ReversePath};

use super::*;

const EHLO_ALL: &str =
    "220 peer\r\n250-peer\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 1000\r\n";
const EHLO_CHUNKING: &str = "220 peer\r\n250-peer\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
const EHLO_BARE: &str = "220 peer\r\n250 peer\r\n";

/// A client, and what it wrote.
struct Pair {
    client: Client,
    input: BytesMut,
}

impl Pair {
    fn new(change: impl FnOnce(&mut ClientSettings)) -> Pair {
        let mut settings = ClientSettings::new("me.example");
        change(&mut settings);
        Pair { client: Client::new(settings), input: BytesMut::new() }
    }

    fn greeted(replies: &str, change: impl FnOnce(&mut ClientSettings)) -> Pair {
        let mut pair = Pair::new(change);
        assert!(matches!(pair.read(replies), ClientStep::Ready));
        pair.written();
        pair
    }

    fn read(&mut self, replies: &str) -> ClientStep {
        self.try_read(replies).unwrap()
    }

    fn try_read(&mut self, replies: &str) -> Result<ClientStep, ProtocolError> {
        self.input.extend_from_slice(replies.as_bytes());
        self.client.handle(&mut self.input)
    }

    fn written(&mut self) -> String {
        let mut octets = Vec::new();
        while let Some(output) = self.client.poll_output() {
            octets.extend_from_slice(&output.into_bytes());
        }
        String::from_utf8(octets).unwrap()
    }

    fn send(&mut self, recipients: &[&str], body: &'static str) -> String {
        self.client.send(transaction(recipients, body)).unwrap();
        self.written()
    }

    fn result(&mut self, replies: &str) -> TransactionResult {
        match self.read(replies) {
            ClientStep::Finished(result) => result,
            other => panic!("{other:?}"),
        }
    }
}

fn transaction(recipients: &[&str], body: &'static str) -> Transaction {
    Transaction {
        sender: ReversePath::Mailbox("a@b.example".parse().unwrap()),
        recipients: recipients.iter().map(|text| text.parse().unwrap()).collect(),
        body: Body::from(Bytes::from_static(body.as_bytes())),
        eight_bit: false,
        binary: false,
        smtputf8: false,
        size: body.len() as u64,
        requests: Requests::default(),
    }
}

/// `250`, or the phase and the code of a refusal.
fn summary(result: &TransactionResult) -> Vec<String> {
    let one = |result: &RecipientResult| match result {
        RecipientResult::Accepted(reply) => reply.code().to_string(),
        RecipientResult::Refused { phase, reply } => format!("{phase} {}", reply.code()),
        RecipientResult::Incapable { enhanced, .. } => format!("incapable {enhanced}"),
    };
    result.recipients.iter().map(one).collect()
}

#[test]
fn commands_are_pipelined_and_the_connection_is_used_again() {
    let mut pair = Pair::greeted(EHLO_ALL, |_| {});
    assert_eq!(
        pair.send(&["x@y.example", "z@y.example"], ".dot\r\n"),
        "MAIL FROM:<a@b.example> SIZE=6\r\nRCPT TO:<x@y.example>\r\nRCPT TO:<z@y.example>\r\nDATA\r\n"
    );
    assert_eq!(pair.client.phase(), ClientPhase::Mail);
    assert!(matches!(pair.read("250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"), ClientStep::NeedInput));
    assert_eq!(pair.client.phase(), ClientPhase::Body);
    assert_eq!(pair.written(), "..dot\r\n.\r\n");
    assert_eq!(pair.client.phase(), ClientPhase::FinalReply);
    let result = pair.result("250 2.0.0 queued\r\n");
    assert_eq!(summary(&result), ["250", "250"]);
    assert!(result.connection_usable);
    assert!(pair.send(&["x@y.example"], "b\r\n").starts_with("MAIL"));
}

#[test]
fn without_pipelining_there_is_one_command_at_a_time() {
    let mut pair = Pair::greeted(EHLO_BARE, |_| {});
    assert_eq!(pair.send(&["x@y.example", "z@y.example"], "b\r\n"), "MAIL FROM:<a@b.example>\r\n");
    pair.read("250 ok\r\n");
    assert_eq!(pair.written(), "RCPT TO:<x@y.example>\r\n");
    pair.read("550 5.1.1 no\r\n");
    assert_eq!(pair.written(), "RCPT TO:<z@y.example>\r\n");
    pair.read("251 forwards\r\n");
    assert_eq!(pair.written(), "DATA\r\n");
    pair.read("354 go\r\n");
    assert_eq!(pair.written(), "b\r\n.\r\n");
    assert_eq!(summary(&pair.result("250 ok\r\n")), ["rcpt 550", "250"]);
}

#[test]
fn bdat_goes_out_in_one_write() {
    let mut pair = Pair::greeted(EHLO_CHUNKING, |_| {});
    assert_eq!(
        pair.send(&["x@y.example"], ".raw\r\n"),
        "MAIL FROM:<a@b.example>\r\nRCPT TO:<x@y.example>\r\nBDAT 6 LAST\r\n.raw\r\n"
    );
    let result = pair.result("250 ok\r\n250 ok\r\n250 ok\r\n");
    assert_eq!(summary(&result), ["250"]);
    assert!(matches!(pair.read(""), ClientStep::Ready));
    // A body that is no clean text goes out by DATA, where it is mended.
    assert!(pair.send(&["x@y.example"], "a\nb").ends_with("DATA\r\n"));
    pair.read("250 ok\r\n250 ok\r\n354 go\r\n");
    assert_eq!(pair.written(), "a\r\nb\r\n.\r\n");
}

#[test]
fn a_failed_chunk_is_followed_by_rset() {
    let mut pair = Pair::greeted(EHLO_CHUNKING, |_| {});
    pair.send(&["x@y.example"], "b\r\n");
    let result = pair.result("250 ok\r\n550 5.1.1 no\r\n554 5.5.1 no valid recipients\r\n");
    assert_eq!((summary(&result), result.connection_usable), (vec!["rcpt 550".to_owned()], true));
    assert_eq!(pair.written(), "RSET\r\n");
    assert_eq!(pair.client.phase(), ClientPhase::Reset);
    assert_eq!(pair.client.send(transaction(&["x@y.example"], "b")), Err(NotReady));
    assert!(matches!(pair.read("250 ok\r\n"), ClientStep::Ready));
}

#[test]
fn when_all_are_refused_354_gets_a_lone_dot_that_is_not_trusted() {
    let mut pair = Pair::greeted(EHLO_ALL, |_| {});
    pair.send(&["x@y.example", "z@y.example"], "b\r\n");
    pair.read("250 ok\r\n550 5.1.1 no\r\n451 4.7.1 later\r\n354 go\r\n");
    assert_eq!(pair.written(), ".\r\n");
    let result = pair.result("250 2.0.0 queued\r\n");
    assert_eq!(summary(&result), ["rcpt 550", "rcpt 451"]);
    assert!(result.connection_usable);
}

#[test]
fn a_refused_sender_is_everybodys_answer() {
    let mut pair = Pair::greeted(EHLO_ALL, |_| {});
    pair.send(&["x@y.example", "z@y.example"], "b\r\n");
    let result = pair.result("550 5.7.1 no\r\n250 ok\r\n503 no\r\n554 no\r\n");
    assert_eq!(summary(&result), ["mail 550", "mail 550"]);
    let mut pair = Pair::greeted(EHLO_BARE, |_| {});
    pair.send(&["x@y.example"], "b\r\n");
    assert_eq!(summary(&pair.result("450 4.7.1 later\r\n")), ["mail 450"]);
    assert_eq!(pair.written(), "");
}

#[test]
fn data_refused_is_for_those_who_were_accepted() {
    let mut pair = Pair::greeted(EHLO_ALL, |_| {});
    pair.send(&["x@y.example", "z@y.example"], "b\r\n");
    let result = pair.result("250 ok\r\n250 ok\r\n550 5.1.1 no\r\n451 4.3.0 later\r\n");
    assert_eq!(summary(&result), ["data 451", "rcpt 550"]);
    assert_eq!(pair.written(), "RSET\r\n");
}

#[test]
fn lmtp_answers_for_each_recipient() {
    let greeting = "220 peer\r\n250-peer\r\n250 PIPELINING\r\n";
    let mut pair = Pair::new(|settings| settings.lmtp = true);
    pair.read(greeting);
    assert_eq!(pair.written(), "LHLO me.example\r\n");
    pair.send(&["x@y.example", "no@y.example", "z@y.example"], "b\r\n");
    pair.read("250 ok\r\n250 ok\r\n550 5.1.1 no\r\n250 ok\r\n354 go\r\n");
    pair.written();
    assert!(matches!(pair.read("250 2.0.0 kept\r\n"), ClientStep::NeedInput));
    assert_eq!(summary(&pair.result("452 4.2.2 full\r\n")), ["250", "rcpt 550", "data 452"]);
}

#[test]
fn a_421_in_the_middle_is_everybodys_answer() {
    let mut pair = Pair::greeted(EHLO_ALL, |_| {});
    pair.send(&["x@y.example", "w@y.example", "z@y.example"], "b\r\n");
    let result = pair.result("250 ok\r\n250 ok\r\n550 5.1.1 no\r\n421 4.3.2 bye\r\n");
    assert_eq!(summary(&result), ["rcpt 421", "rcpt 550", "rcpt 421"]);
    assert!(!result.connection_usable);
    assert!(matches!(pair.read(""), ClientStep::Closing(reply) if reply.code() == 421));
    assert!(matches!(pair.read(""), ClientStep::Closed));
    let mut idle = Pair::greeted(EHLO_ALL, |_| {});
    assert!(matches!(idle.read("421 4.3.2 bye\r\n"), ClientStep::Closing(_)));
}

#[test]
fn an_answer_before_the_body_is_out_ends_the_connection() {
    let mut pair = Pair::greeted(EHLO_ALL, |_| {});
    pair.send(&["x@y.example"], "b\r\n");
    pair.read("250 ok\r\n250 ok\r\n354 go\r\n");
    let result = pair.result("552 5.3.4 too large\r\n");
    assert_eq!((summary(&result), result.connection_usable), (vec!["data 552".to_owned()], false));
    assert_eq!(pair.written(), "");
    assert!(matches!(pair.read(""), ClientStep::Closed));
}

#[test]
fn ehlo_falls_back_to_helo_for_smtp_only() {
    let mut pair = Pair::new(|_| {});
    pair.read("220 peer\r\n502 5.5.1 what\r\n");
    assert_eq!(pair.written(), "EHLO me.example\r\nHELO me.example\r\n");
    assert!(matches!(pair.read("250 peer\r\n"), ClientStep::Ready));
    assert!(!pair.client.capabilities().extended);
    assert_eq!(pair.send(&["x@y.example"], "b\r\n"), "MAIL FROM:<a@b.example>\r\n");
    let mut lmtp = Pair::new(|settings| settings.lmtp = true);
    assert!(matches!(lmtp.read("220 peer\r\n500 what\r\n"), ClientStep::Refused(Phase::Ehlo, _)));
}

#[test]
fn a_peer_may_refuse_us_at_once() {
    for (replies, phase) in [
        ("554 5.7.1 no\r\n", Phase::Connect),
        ("421 busy\r\n", Phase::Connect),
        ("220 x\r\n451 later\r\n", Phase::Ehlo),
    ] {
        match Pair::new(|_| {}).read(replies) {
            ClientStep::Refused(at, _) => assert_eq!(at, phase),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_the_peer_lacks_fails_here() {
    let mut pair = Pair::greeted(EHLO_BARE, |_| {});
    let mut message = transaction(&["x@y.example"], "b\r\n");
    message.eight_bit = true;
    pair.client.send(message.clone()).unwrap();
    assert_eq!(summary(&pair.result("")), ["incapable 5.6.3"]);
    message.smtputf8 = true;
    pair.client.send(message).unwrap();
    assert_eq!(summary(&pair.result("")), ["incapable 5.6.7"]);
    let mut pair = Pair::greeted(EHLO_ALL, |_| {});
    let mut large = transaction(&["x@y.example"], "b\r\n");
    large.size = 1001;
    pair.client.send(large).unwrap();
    assert_eq!(summary(&pair.result("")), ["incapable 5.3.4"]);
    let mut utf8 = transaction(&["ü@y.example"], "b\r\n");
    (utf8.eight_bit, utf8.smtputf8, utf8.sender) = (true, true, ReversePath::Null);
    pair.client.send(utf8).unwrap();
    assert!(
        pair.written().starts_with("MAIL FROM:<> SIZE=3 BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<ü@y.example>\r\n")
    );
}

#[test]
fn nonsense_ends_the_connection_but_not_the_knowledge() {
    for nonsense in ["354 what\r\n", "hello\r\n", "250-a\r\n550 b\r\n"] {
        let mut pair = Pair::greeted(EHLO_ALL, |_| {});
        pair.send(&["x@y.example", "z@y.example"], "b\r\n");
        pair.read("250 ok\r\n550 5.1.1 no\r\n");
        assert!(pair.try_read(nonsense).is_err(), "{nonsense}");
        let partial = pair.client.take_partial().unwrap();
        assert!(matches!(
            partial.as_slice(),
            [Some(RecipientResult::Refused { phase: Phase::Rcpt, .. }), None]
        ));
        assert!(matches!(pair.read(""), ClientStep::Closed));
    }
    let mut idle = Pair::greeted(EHLO_ALL, |_| {});
    assert_eq!(idle.try_read("250 surprise\r\n").unwrap_err(), ProtocolError::Unexpected(250));
}

#[test]
fn an_enhanced_code_of_another_class_is_ignored() {
    let mut pair = Pair::greeted(EHLO_BARE, |_| {});
    pair.send(&["x@y.example"], "b\r\n");
    let result = pair.result("550 2.0.0 fine\r\n");
    let RecipientResult::Refused { reply, .. } = &result.recipients[0] else { panic!("{result:?}") };
    assert_eq!((reply.enhanced(), reply.text()), (None, "2.0.0 fine"));
    assert_ne!(reply.enhanced(), Some(EnhancedCode(2, 0, 0)));
}

#[test]
fn quit_ends_it() {
    let mut pair = Pair::greeted(EHLO_ALL, |_| {});
    pair.client.quit();
    assert_eq!(pair.written(), "QUIT\r\n");
    assert!(matches!(pair.read("221 bye\r\n"), ClientStep::Closed));
}

#[test]
fn a_question_ends_before_any_content() {
    let question = || transaction(&["x@y.example", "z@y.example"], "");
    let mut pair = Pair::greeted(EHLO_ALL, |_| {});
    pair.client.ask(question()).unwrap();
    assert_eq!(
        pair.written(),
        "MAIL FROM:<a@b.example>\r\nRCPT TO:<x@y.example>\r\nRCPT TO:<z@y.example>\r\n"
    );
    let result = pair.result("250 ok\r\n250 ok\r\n550 5.1.1 no\r\n");
    assert_eq!(summary(&result), ["250", "rcpt 550"]);
    assert_eq!(pair.written(), "RSET\r\n");
    assert!(matches!(pair.read("250 ok\r\n"), ClientStep::Ready));
    let mut bare = Pair::greeted(EHLO_BARE, |_| {});
    bare.client.ask(question()).unwrap();
    assert_eq!(bare.written(), "MAIL FROM:<a@b.example>\r\n");
    assert_eq!(summary(&bare.result("550 5.7.1 no\r\n")), ["mail 550", "mail 550"]);
    assert_eq!(bare.written(), "", "there is no transaction to end");
    bare.client.ask(Transaction { smtputf8: true, ..question() }).unwrap();
    assert_eq!(summary(&bare.result("")), ["incapable 5.6.7", "incapable 5.6.7"]);
}

const EHLO_TLS: &str = "220 peer\r\n250-peer\r\n250-SMTPUTF8\r\n250 STARTTLS\r\n";

/// A client that waits for the answer to STARTTLS.
fn asking_for_tls(starttls: UseStartTls) -> Pair {
    let mut pair = Pair::new(|settings| settings.starttls = starttls);
    assert!(matches!(pair.read(EHLO_TLS), ClientStep::NeedInput));
    assert_eq!(pair.written(), "EHLO me.example\r\nSTARTTLS\r\n");
    assert_eq!(pair.client.phase(), ClientPhase::StartTls);
    pair
}

/// RFC 3207 4.2: what the peer said before is forgotten, and EHLO comes again.
#[test]
fn starttls_begins_anew() {
    let mut pair = asking_for_tls(UseStartTls::WhenOffered);
    assert!(matches!(pair.read("220 go\r\n"), ClientStep::StartTls));
    pair.client.protect();
    assert_eq!(pair.written(), "EHLO me.example\r\n");
    assert!(!pair.client.capabilities().smtputf8);
    assert!(matches!(pair.read("250-peer\r\n250 STARTTLS\r\n"), ClientStep::Ready), "once is enough");
    assert!(!pair.client.capabilities().smtputf8);
}

#[test]
fn implicit_tls_needs_no_starttls() {
    let mut pair = Pair::new(|settings| settings.starttls = UseStartTls::Always);
    pair.client.protect();
    assert!(matches!(pair.read(EHLO_TLS), ClientStep::Ready));
    assert_eq!(pair.written(), "EHLO me.example\r\n");
}

/// T2: whatever comes behind 220 before TLS breaks the connection (CVE-2021-38371).
#[test]
fn octets_behind_the_answer_to_starttls_are_not_believed() {
    for injected in ["250 2.0.0 taken\r\n", "\r\n", "x"] {
        for code in ["220", "454", "500"] {
            let mut pair = asking_for_tls(UseStartTls::WhenOffered);
            let read = pair.try_read(&format!("{code} x\r\n{injected}"));
            assert_eq!(read.err(), Some(ProtocolError::BehindStartTls));
        }
    }
}

#[test]
fn without_tls_mail_goes_only_where_it_may() {
    for refusal in ["454 4.7.0 not now\r\n", "502 what\r\n"] {
        let mut pair = asking_for_tls(UseStartTls::WhenOffered);
        assert!(matches!(pair.read(refusal), ClientStep::Ready));
        let mut pair = asking_for_tls(UseStartTls::Always);
        assert!(matches!(pair.read(refusal), ClientStep::Refused(Phase::Tls, _)));
    }
    for hello in [EHLO_BARE, "220 peer\r\n502 EHLO?\r\n250 peer\r\n"] {
        let mut pair = Pair::new(|settings| settings.starttls = UseStartTls::Always);
        assert!(matches!(pair.read(hello), ClientStep::NoStartTls));
        assert!(!pair.written().contains("MAIL"));
        let mut pair = Pair::new(|settings| settings.starttls = UseStartTls::WhenOffered);
        assert!(matches!(pair.read(hello), ClientStep::Ready));
    }
}

#[test]
fn a_login_goes_by_challenges_or_at_once() {
    let mut pair = Pair::greeted("220 peer\r\n250-peer\r\n250 AUTH PLAIN LOGIN\r\n", |_| {});
    pair.client.authenticate("PLAIN", Some(b"\0me\0secret")).unwrap();
    assert_eq!(pair.written(), "AUTH PLAIN AG1lAHNlY3JldA==\r\n");
    assert_eq!(pair.client.phase(), ClientPhase::Auth);
    assert!(matches!(pair.read("535 5.7.8 no\r\n"), ClientStep::NotLoggedIn(reply) if reply.code() == 535));
    pair.client.authenticate("LOGIN", None).unwrap();
    assert_eq!(pair.written(), "AUTH LOGIN\r\n");
    assert!(
        matches!(pair.read("334 VXNlcm5hbWU6\r\n"), ClientStep::Challenge(asked) if asked == b"Username:")
    );
    pair.client.respond(b"me").unwrap();
    assert_eq!(pair.written(), "bWU=\r\n");
    assert!(matches!(pair.read("334 \r\n"), ClientStep::Challenge(asked) if asked.is_empty()));
    pair.client.respond(b"").unwrap();
    assert_eq!(pair.written(), "\r\n");
    assert!(matches!(pair.read("235 2.7.0 ok\r\n"), ClientStep::LoggedIn));
    pair.send(&["a@b.example"], "x\r\n");
    assert_eq!(pair.result("250 ok\r\n550 no\r\n").recipients.len(), 1);
}

#[test]
fn a_login_that_is_none_ends_the_connection() {
    let begun = || {
        let mut pair = Pair::greeted(EHLO_BARE, |_| {});
        pair.client.authenticate("PLAIN", Some(b"")).unwrap();
        assert_eq!(pair.written(), "AUTH PLAIN =\r\n");
        pair
    };
    assert_eq!(begun().try_read("334 ???\r\n").unwrap_err(), ProtocolError::Unexpected(334));
    assert_eq!(begun().try_read("250 ok\r\n").unwrap_err(), ProtocolError::Unexpected(250));
    assert!(matches!(begun().read("421 bye\r\n"), ClientStep::Closing(_)));
}
