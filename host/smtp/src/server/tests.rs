//! Attacks on framing and order, at every way to cut the octets into reads.

use std::sync::Arc;

use baton_mail::EnhancedCode;
use bytes::Bytes;

use super::*;

/// A driver that says yes to everything and keeps what it was given.
struct Session {
    server: Server,
    input: BytesMut,
    output: Vec<u8>,
    messages: Vec<Bytes>,
    recipients: usize,
    closed: bool,
}

impl Session {
    fn new(change: impl FnOnce(&mut ServerSettings)) -> Session {
        let mut settings = ServerSettings::new("mx.example".parse().unwrap());
        change(&mut settings);
        let mut server = Server::new(Arc::new(settings));
        let mut output = Vec::new();
        server.greet(&mut output);
        output.clear();
        Session { server, input: BytesMut::new(), output, messages: Vec::new(), recipients: 0, closed: false }
    }

    /// A session with a transaction that has one recipient.
    fn with_recipient(change: impl FnOnce(&mut ServerSettings)) -> Session {
        let mut session = Session::new(change);
        session.send(b"EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n");
        session.output.clear();
        session
    }

    fn send(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
        loop {
            let answer = match self.server.handle(&mut self.input, &mut self.output) {
                Step::NeedInput => return,
                Step::Close | Step::StartTls | Step::Restart => {
                    self.closed = true;
                    return;
                }
                Step::Ask(question) => self.answer(question),
            };
            self.server.answer(answer, &mut self.output).unwrap();
        }
    }

    fn answer(&mut self, question: Question) -> Answer {
        match question {
            Question::Message { content, .. } => {
                self.messages.push(content);
                Answer::Done(
                    vec![Reply::new(250, EnhancedCode(2, 0, 0), "queued"); self.recipients.max(1)].into(),
                )
            }
            Question::Auth { user, .. } => Answer::Authenticated(user),
            _ => Answer::Proceed,
        }
    }

    /// The codes of the replies since the last call.
    fn codes(&mut self) -> Vec<u16> {
        let text = String::from_utf8(std::mem::take(&mut self.output)).unwrap();
        text.lines()
            .filter(|line| line.as_bytes()[3] == b' ')
            .map(|line| line[..3].parse().unwrap())
            .collect()
    }
}

/// Ends of data that only a careless receiver takes for one.
const FALSE_ENDS: [&[u8]; 18] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\n",
    b"\n.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\n\n.\r\n",
    b"\r\n.\x0b\r\n",
    b"\r\n\r.\r\n",
    b"\n\r.\n\r",
    b".\r\n.\n",
    b"\0\n.\r\n",
];

const SMUGGLED: &[u8] =
    b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<v@x.example>\r\nDATA\r\nSubject: 2\r\n\r\nsmuggled\r\n.\r\n";

/// Sends `octets` whole, octet by octet, and cut at every position; all must give the same.
fn at_every_split(octets: &[u8], start: impl Fn() -> Session, check: impl Fn(&mut Session)) {
    let mut cuts: Vec<Vec<&[u8]>> =
        vec![vec![octets], octets.chunks(1).collect(), octets.chunks(3).collect()];
    cuts.extend((1..octets.len()).map(|at| vec![&octets[..at], &octets[at..]]));
    for pieces in cuts {
        let mut session = start();
        for piece in pieces {
            session.send(piece);
        }
        check(&mut session);
    }
}

#[test]
fn no_false_end_smuggles_a_message_by_data() {
    for end in FALSE_ENDS {
        let stream = [b"Subject: 1\r\n\r\nbody", end, SMUGGLED, b"NOOP\r\n"].concat();
        for policy in [BareLineEnding::Refuse, BareLineEnding::Repair] {
            let start = || {
                let mut session = Session::with_recipient(|settings| settings.bare_line_ending = policy);
                session.send(b"DATA\r\n");
                assert_eq!(session.codes(), [354]);
                session
            };
            at_every_split(&stream, start, |session| {
                let is_clean =
                    !end.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)) || end == b"\r\n.\x0b\r\n";
                let (codes, messages) = (session.codes(), session.messages.len());
                if policy == BareLineEnding::Repair || is_clean {
                    assert_eq!((codes.as_slice(), messages), (&[250, 250][..], 1), "{end:?}");
                    let content = &session.messages[0];
                    assert!(memchr::memmem::find(content, b"smuggled").is_some());
                    assert!(!baton_mail::lines::has_stray(content) && !content.contains(&0));
                } else {
                    assert_eq!((codes.as_slice(), messages), (&[550, 250][..], 0), "{end:?}");
                }
            });
        }
    }
}

#[test]
fn no_false_end_smuggles_a_message_by_bdat() {
    for end in FALSE_ENDS {
        let content = [b"Subject: 1\r\n\r\nbody", end, SMUGGLED].concat();
        let (first, second) = content.split_at(22);
        let stream = [
            format!("BDAT {}\r\n", first.len()).as_bytes(),
            first,
            format!("BDAT {} LAST\r\n", second.len()).as_bytes(),
            second,
            b"NOOP\r\n",
        ]
        .concat();
        for policy in [BareLineEnding::Refuse, BareLineEnding::Repair] {
            let start = || Session::with_recipient(|settings| settings.bare_line_ending = policy);
            at_every_split(&stream, start, |session| {
                let codes = session.codes();
                let is_clean = !baton_mail::lines::has_stray(&content) && !content.contains(&0);
                if policy == BareLineEnding::Repair || is_clean {
                    assert_eq!(codes, [250, 250, 250], "{end:?}");
                    assert!(!baton_mail::lines::has_stray(&session.messages[0]));
                } else {
                    assert!(codes == [250, 550, 250] || codes == [550, 503, 250], "{end:?} {codes:?}");
                    assert!(session.messages.is_empty());
                }
            });
        }
    }
}

#[test]
fn dots_are_taken_away_exactly() {
    for (wire, content) in [
        (&b".\r\n"[..], &b""[..]),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"...\r\n..x\r\na.b\r\n.\r\n", b"..\r\n.x\r\na.b\r\n"),
        (b"A: 1\r\n\r\n..\r\n.\r\n", b"A: 1\r\n\r\n.\r\n"),
        (b".x\r\n.\r\n", b"x\r\n"),
        (b"\r\n\r\n.\r\n", b"\r\n\r\n"),
        (b"a..\r\n.\r\n", b"a..\r\n"),
    ] {
        let start = || {
            let mut session = Session::with_recipient(|_| {});
            session.send(b"DATA\r\n");
            session.output.clear();
            session
        };
        at_every_split(wire, start, |session| {
            assert_eq!(session.messages, [content], "{wire:?}");
            assert_eq!(session.codes(), [250]);
            assert_eq!(session.server.content_octets(), 0);
        });
    }
}

#[test]
fn content_before_354_ends_the_session() {
    let mut session = Session::new(|_| {});
    session.send(
        b"EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nMAIL FROM:<evil@x>\r\n.\r\n",
    );
    assert_eq!(session.codes(), [250, 250, 250, 503]);
    assert!(session.closed && session.messages.is_empty());
}

#[test]
fn the_size_limit_counts_content_without_dots() {
    for (content, code) in
        [(&b"1234567\r\n.\r\n"[..], 250), (b"..23456\r\n.\r\n", 250), (b"12345678\r\n.\r\n", 552)]
    {
        let start = || {
            let mut session = Session::with_recipient(|settings| settings.size_octets_max = 9);
            session.send(b"DATA\r\n");
            session.output.clear();
            session
        };
        at_every_split(content, start, |session| assert_eq!(session.codes(), [code]));
    }
    let start = || Session::with_recipient(|settings| settings.size_octets_max = 9);
    at_every_split(b"BDAT 6\r\n1234\r\nBDAT 4 LAST\r\nQUITNOOP\r\n", start, |session| {
        assert_eq!(session.codes(), [250, 552, 250]);
        assert!(session.messages.is_empty());
    });
}

#[test]
fn endless_lines_and_messages_use_no_memory() {
    let mut session = Session::with_recipient(|settings| {
        settings.size_octets_max = 1_000;
        settings.line_octets_max = 100;
    });
    session.send(b"DATA\r\n");
    for _ in 0..1_000 {
        session.send(&[b'x'; 10_000]);
        assert!(session.input.is_empty() && session.server.content_octets() <= 20_000);
    }
    session.send(b"\r\n.\r\n");
    assert_eq!(session.codes(), [354, 552]);
    for _ in 0..1_000 {
        session.send(&[b'x'; 10_000]);
        assert!(session.input.is_empty());
    }
    session.send(b"\r\nNOOP\r\n");
    assert_eq!(session.codes(), [500, 250]);
}

#[test]
fn long_lines_are_told_the_same_at_every_split() {
    let line = |len: usize| [&vec![b'x'; len][..], b"\r\n.\r\n"].concat();
    for (len, code) in [(10, 250), (11, 554)] {
        let start = || {
            let mut session = Session::with_recipient(|settings| settings.line_octets_max = 10);
            session.send(b"DATA\r\n");
            session.output.clear();
            session
        };
        at_every_split(&line(len), start, |session| assert_eq!(session.codes(), [code]));
    }
    for (len, code) in [(30, 250), (31, 500)] {
        let command = [b"NOOP ", &vec![b'x'; len - 7][..], b"\r\nNOOP\r\n"].concat();
        let start = || Session::new(|settings| settings.command_octets_max = 30);
        at_every_split(&command, start, |session| assert_eq!(session.codes(), [code, 250]));
    }
}

#[test]
fn a_chunk_is_never_read_as_commands() {
    for (stream, codes) in [
        (&b"BDAT 6\r\nNOOP\r\nNOOP\r\n"[..], &[250, 250][..]),
        (b"RSET\r\nBDAT 6\r\nNOOP\r\nNOOP\r\n", &[250, 503, 250]),
        (b"RSET\r\nBDAT 12 LAST\r\nQUIT\r\nQUIT\r\nNOOP\r\n", &[250, 503, 250]),
        (b"BDAT 2 LAST\r\n\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", &[250, 503, 250]),
        (b"BDAT 0\r\nBDAT 0 LAST\r\nNOOP\r\n", &[250, 250, 250]),
        (b"BDAT\r\nDATA\r\n", &[501, 503]),
        (b"BDAT 3\r\nx\r\nDATA\r\n", &[250, 503]),
    ] {
        at_every_split(
            stream,
            || Session::with_recipient(|_| {}),
            |session| assert_eq!(session.codes(), codes, "{stream:?}"),
        );
    }
    for announced in ["-1", "1e3", "99999999999999999999", "9999999999999", "5 FIRST"] {
        let mut session = Session::with_recipient(|_| {});
        session.send(format!("BDAT {announced}\r\nNOOP\r\nNOOP\r\n").as_bytes());
        assert_eq!(session.codes().len(), 1, "{announced}");
        assert!(session.closed);
    }
}

#[test]
fn a_cr_at_the_end_of_a_chunk_may_be_completed_by_the_next() {
    let start = || Session::with_recipient(|_| {});
    at_every_split(b"BDAT 2\r\na\rBDAT 2 LAST\r\n\nb", start, |session| {
        assert_eq!(session.codes(), [250, 250]);
        assert_eq!(session.messages, [&b"a\r\nb"[..]]);
    });
    at_every_split(b"BDAT 2\r\na\rBDAT 1 LAST\r\nb", start, |session| {
        assert_eq!(session.codes(), [250, 550])
    });
    at_every_split(b"BDAT 2 LAST\r\na\r", start, |session| assert_eq!(session.codes(), [550]));
}

#[test]
fn tiny_chunks_are_bounded() {
    let mut session = Session::with_recipient(|settings| settings.chunks_max = 100);
    session.send(&b"BDAT 0\r\n".repeat(1_000));
    assert_eq!(session.codes()[99..], [250, 421]);
    assert!(session.closed);
}

#[test]
fn nothing_of_a_message_outlives_it() {
    let mut session = Session::with_recipient(|_| {});
    session.send(b"DATA\r\n");
    session.send(b"a\nb\r\n.\r\n");
    session.send(b"RCPT TO:<x@y.example>\r\n");
    session.send(b"DATA\r\n");
    assert_eq!(session.codes(), [354, 550, 503, 503]);
    assert_eq!(session.server.recipients(), 0);
    assert!(!session.server.smtputf8());
}

#[test]
fn an_answer_that_does_not_fit_changes_nothing() {
    let mut session = Session::new(|_| {});
    assert_eq!(session.server.answer(Answer::Proceed, &mut session.output), Err(Misuse::NothingAsked));
    session.input.extend_from_slice(b"EHLO c\r\n");
    assert!(matches!(
        session.server.handle(&mut session.input, &mut session.output),
        Step::Ask(Question::Helo { .. })
    ));
    let no_refusal = Answer::Refuse(Reply::bare(250, "yes"));
    assert_eq!(session.server.answer(no_refusal, &mut session.output), Err(Misuse::NotARefusal));
    assert_eq!(
        session.server.answer(Answer::Authenticated("x".into()), &mut session.output),
        Err(Misuse::WrongKind)
    );
    assert!(matches!(session.server.handle(&mut session.input, &mut session.output), Step::NeedInput));
    assert_eq!(session.server.answer(Answer::Proceed, &mut session.output), Ok(()));
    session.send(b"MAIL FROM:<>\r\nRCPT TO:<a@b>\r\n");
    session.codes();
    session.input.extend_from_slice(b"BDAT 0 LAST\r\n");
    while !matches!(
        session.server.handle(&mut session.input, &mut session.output),
        Step::Ask(Question::Message { .. })
    ) {
        session.server.answer(Answer::Proceed, &mut session.output).unwrap();
    }
    assert_eq!(
        session.server.answer(Answer::Done(Default::default()), &mut session.output),
        Err(Misuse::WrongCount)
    );
    assert_eq!(session.server.answer(Answer::Proceed, &mut session.output), Err(Misuse::WrongKind));
    session.server.answer(Answer::Disconnect(Reply::bare(421, "away")), &mut session.output).unwrap();
    assert!(matches!(session.server.handle(&mut session.input, &mut session.output), Step::Close));
}

#[test]
fn the_driver_can_refuse_content_midway() {
    let mut session = Session::with_recipient(|_| {});
    assert!(!session.server.refuse_content(Reply::bare(452, "no memory")));
    session.send(b"DATA\r\n");
    session.send(b"first part\r\n");
    assert!(session.server.content_octets() > 0);
    assert!(session.server.refuse_content(Reply::new(452, EnhancedCode(4, 3, 1), "no memory")));
    assert_eq!(session.server.content_octets(), 0);
    session.input.extend_from_slice(b"second\r\n.\r\n");
    assert!(matches!(
        session.server.handle(&mut session.input, &mut session.output),
        Step::Ask(Question::Reset)
    ));
    assert_eq!(session.server.refused_content().map(|reply| reply.code()), Some(452));
    session.server.answer(Answer::Proceed, &mut session.output).unwrap();
    assert_eq!(session.codes(), [354, 452]);
}

#[test]
fn deadlines_and_shutdown_say_421() {
    let mut session = Session::with_recipient(|_| {});
    assert_eq!(session.server.phase(), ServerPhase::Command);
    session.send(b"DATA\r\n");
    assert_eq!(session.server.phase(), ServerPhase::Data);
    session.output.clear();
    session.server.timeout(&mut session.output);
    session.send(b"x");
    assert!(session.closed);
    assert_eq!(session.codes(), [421]);
    let mut session = Session::new(|_| {});
    session.server.shut_down(&mut session.output);
    assert_eq!(session.codes(), [421]);
}

#[test]
fn every_own_reply_has_an_enhanced_code_of_its_class() {
    for say in [
        Say::Ok,
        Say::NotSmtp,
        Say::TooManyRecipients,
        Say::AuthInvalid,
        Say::BareLineEnding,
        Say::UnknownParameter,
    ] {
        let reply = say.to_reply();
        assert_eq!(reply.enhanced().map(|enhanced| u16::from(enhanced.0)), Some(reply.code() / 100));
    }
    assert_eq!(Say::StartContent.to_reply().enhanced(), None);
}

#[test]
fn a_secret_is_not_in_the_debug_text() {
    let question =
        Question::Auth { mechanism: Mechanism::Plain, user: "tim".into(), password: "tanstaaf".into() };
    assert!(!format!("{question:?}").contains("tanstaaf"));
}
