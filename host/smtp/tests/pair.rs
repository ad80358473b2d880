//! The client machine talks to the server machine: whatever goes in comes out, byte for byte.

// A test that can not go on may panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;

use baton_mail::{Body, ReversePath};
use baton_smtp::client::{
    Client, ClientSettings, ClientStep, RecipientResult, Requests, Transaction, TransactionResult,
};
use baton_smtp::server::{BareLineEnding, Server, ServerSettings};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use support::driver::Driver;

/// Which extensions are in play.
#[derive(Clone, Copy, Debug)]
struct Mode {
    pipelining: bool,
    chunking: bool,
    lmtp: bool,
    /// Octets that arrive in one read.
    read_octets: usize,
}

/// Both ends and the wire between them.
struct Wire {
    client: Client,
    replies: BytesMut,
    driver: Driver,
    mode: Mode,
    /// All that the client wrote.
    log: Vec<u8>,
}

impl Wire {
    fn new(mode: Mode) -> Wire {
        let mut settings = ServerSettings::new("mx.example".parse().unwrap());
        (settings.pipelining, settings.chunking, settings.lmtp) = (mode.pipelining, mode.chunking, mode.lmtp);
        settings.bare_line_ending = BareLineEnding::Refuse;
        let mut driver = Driver::new(Server::new(Arc::new(settings)));
        driver.server.greet(&mut driver.output);
        let mut settings = ClientSettings::new("client.example");
        settings.lmtp = mode.lmtp;
        Wire { client: Client::new(settings), replies: BytesMut::new(), driver, mode, log: Vec::new() }
    }

    /// Carries octets to and fro until the client has something to tell.
    fn run(&mut self) -> ClientStep {
        for _ in 0..10_000 {
            match self.client.handle(&mut self.replies).unwrap() {
                ClientStep::NeedInput => {}
                step => return step,
            }
            let mut written = Vec::new();
            while let Some(output) = self.client.poll_output() {
                written.extend_from_slice(&output.into_bytes());
            }
            self.log.extend_from_slice(&written);
            for piece in written.chunks(self.mode.read_octets) {
                self.driver.feed(piece);
            }
            let octets = self.mode.read_octets.min(self.driver.output.len());
            self.replies.extend(self.driver.output.drain(..octets));
        }
        panic!("the two ends wait for one another");
    }

    fn deliver(&mut self, body: Body, recipients: &[&str]) -> TransactionResult {
        let transaction = Transaction {
            sender: ReversePath::Null,
            recipients: recipients.iter().map(|text| text.parse().unwrap()).collect(),
            size: body.len(),
            body,
            eight_bit: false,
            binary: false,
            smtputf8: false,
            requests: Requests::default(),
        };
        self.client.send(transaction).unwrap();
        match self.run() {
            ClientStep::Finished(result) => result,
            step => panic!("{step:?}"),
        }
    }
}

fn any_mode() -> impl Strategy<Value = Mode> {
    (any::<bool>(), any::<bool>(), any::<bool>(), prop_oneof![Just(1), Just(7), Just(100_000)]).prop_map(
        |(pipelining, chunking, lmtp, read_octets)| Mode { pipelining, chunking, lmtp, read_octets },
    )
}

proptest! {
    #[test]
    fn content_comes_out_as_it_went_in(mode in any_mode(), messages in prop::collection::vec("([.]{0,2}[a\r\n.]{0,5}\r\n){0,6}", 1..4)) {
        let mut wire = Wire::new(mode);
        prop_assert!(matches!(wire.run(), ClientStep::Ready));
        for message in messages {
            let (first, second) = message.as_bytes().split_at(message.len() / 2);
            let body: Body = [first, second].into_iter().map(Bytes::copy_from_slice).collect();
            let result = wire.deliver(body, &["a@x.example", "unknown@x.example", "b@x.example"]);
            prop_assert!(matches!(
                result.recipients.as_slice(),
                [RecipientResult::Accepted(_), RecipientResult::Refused { .. }, RecipientResult::Accepted(_)]
            ), "{:?}", result);
            prop_assert!(matches!(wire.run(), ClientStep::Ready));
            let received = wire.driver.messages.pop_front().unwrap();
            prop_assert_eq!(received.recipients, ["a@x.example", "b@x.example"]);
            // What is no proper text is mended on its way; it never leaves as it is, by no command.
            let mut mended = Vec::new();
            baton_mail::lines::repair_into(message.as_bytes(), &mut mended);
            prop_assert_eq!(&received.content[..], &mended[..]);
        }
        prop_assert!(wire.driver.messages.is_empty());
        prop_assert!(!baton_mail::lines::has_stray(&wire.log));
    }

    #[test]
    fn when_nobody_is_accepted_the_connection_stays_in_step(mode in any_mode()) {
        let mut wire = Wire::new(mode);
        prop_assert!(matches!(wire.run(), ClientStep::Ready));
        let body = || Body::from(Bytes::from_static(b"RSET\r\nQUIT\r\n"));
        let result = wire.deliver(body(), &["unknown@x.example", "unknown@y.example"]);
        let is_refused = |one: &RecipientResult| matches!(one, RecipientResult::Refused { .. });
        prop_assert!(result.recipients.iter().all(is_refused));
        prop_assert!(result.connection_usable);
        prop_assert!(matches!(wire.run(), ClientStep::Ready));
        let result = wire.deliver(body(), &["a@x.example"]);
        prop_assert!(matches!(result.recipients.as_slice(), [RecipientResult::Accepted(_)]));
        prop_assert_eq!(wire.driver.messages.len(), 1);
        wire.run();
        wire.client.quit();
        prop_assert!(matches!(wire.run(), ClientStep::Closed));
        prop_assert!(wire.driver.closed);
    }
}
