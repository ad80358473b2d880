//! What the client said, for operators who look on.

use bytes::BytesMut;

use super::command::Command;
use super::state::State;

/// Something that the client said.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A command.
    Line(Vec<u8>),
    /// A part of an AUTH exchange; or a line that is no command where one is not obeyed, and so may be meant for an
    /// exchange or for content that was refused.
    Secret,
    /// Content: how many octets, and the octets when they are wanted.
    Content(usize, Option<Vec<u8>>),
}

/// Notes what the client says.
#[derive(Debug, Default)]
pub(super) struct Listening {
    pub(super) heard: Vec<Heard>,
    pub(super) with_content: bool,
    /// AUTH or DATA came, and no other command since.
    guarded: bool,
}

impl Listening {
    /// A line that is about to be obeyed.
    pub(super) fn line(&mut self, line: &[u8], state: &State) {
        if matches!(state, State::ExpectAuthResponse(_)) {
            self.guarded = true;
            return self.heard.push(Heard::Secret);
        }
        if line.is_empty() {
            return self.heard.push(Heard::Line(b"(a line that is too long)".to_vec()));
        }
        let command = Command::parse(line);
        let is_unknown = matches!(command, Command::Unknown | Command::Foreign | Command::Malformed);
        if is_unknown && self.guarded {
            return self.heard.push(Heard::Secret);
        }
        if !is_unknown {
            self.guarded = matches!(command, Command::Auth(_) | Command::Data(_) | Command::Bdat(_));
        }
        self.heard.push(Heard::Line(line.to_vec()));
    }

    /// What is at hand before content is taken from it.
    pub(super) fn before(&self, input: &BytesMut) -> (usize, Option<BytesMut>) {
        (input.len(), self.with_content.then(|| input.clone()))
    }

    /// Content was taken from what was at hand; so many octets are left.
    pub(super) fn content(&mut self, (octets, copy): (usize, Option<BytesMut>), left: usize) {
        let taken = octets.saturating_sub(left);
        if taken > 0 {
            let text = copy.and_then(|copy| copy.get(..taken).map(<[u8]>::to_vec));
            self.heard.push(Heard::Content(taken, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;

    /// What is heard of these lines when everything is agreed to.
    fn heard(lines: &str, with_content: bool) -> Vec<String> {
        let mut settings = ServerSettings::new("mx.example".parse().unwrap());
        settings.auth = AuthOffer::Offered(Mechanisms::ALL);
        let (mut server, mut output) = (Server::new(Arc::new(settings)), Vec::new());
        server.greet(&mut output);
        server.listen(true, with_content);
        let mut input = BytesMut::new();
        // Content begins only after the reply to DATA.
        for piece in lines.split_inclusive("DATA\r\n") {
            input.extend_from_slice(piece.as_bytes());
            while let Step::Ask(question) = server.handle(&mut input, &mut output) {
                let reply = Reply::new(250, baton_mail::EnhancedCode(2, 0, 0), "queued");
                let answer = match question {
                    Question::Message { .. } => Answer::Done(vec![reply].into()),
                    Question::Auth { .. } => {
                        Answer::Refuse(Reply::new(535, baton_mail::EnhancedCode(5, 7, 8), "no"))
                    }
                    _ => Answer::Proceed,
                };
                server.answer(answer, &mut output).unwrap();
            }
        }
        let shown = |heard: Heard| match heard {
            Heard::Line(line) => String::from_utf8(line).unwrap().trim_end().to_owned(),
            Heard::Secret => "*".to_owned(),
            Heard::Content(octets, None) => format!("{octets}"),
            Heard::Content(octets, Some(text)) => format!("{octets} {:?}", String::from_utf8(text).unwrap()),
        };
        server.take_heard().into_iter().map(shown).collect()
    }

    #[test]
    fn what_may_be_a_secret_is_not_heard() {
        let lines = "EHLO c\r\nAUTH PLAIN\r\nAGEAYg==\r\nAGEAYg==\r\nNOOP\r\nhello\r\n";
        assert_eq!(heard(lines, false), ["EHLO c", "AUTH PLAIN", "*", "*", "NOOP", "hello"]);
    }

    #[test]
    fn content_is_counted_and_heard_when_it_is_wanted() {
        let lines = "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n.x\r\n.\r\nQUIT\r\n";
        let said = heard(lines, false);
        assert_eq!(said.get(3..), Some(&["DATA", "7", "QUIT"].map(str::to_owned)[..]), "{said:?}");
        assert_eq!(heard(lines, true).get(4).map(String::as_str), Some("7 \".x\\r\\n.\\r\\n\""));
        let refused = heard("EHLO c\r\nDATA\r\nfree text\r\nQUIT\r\n", false);
        assert_eq!(refused, ["EHLO c", "DATA", "*", "QUIT"]);
    }
}
