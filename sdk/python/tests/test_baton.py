"""The SDK's own tests: python3 -m unittest discover -s tests, in the folder of the SDK."""

import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

SDK = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SDK))

import baton  # noqa: E402
from baton import __main__ as command  # noqa: E402
from baton._decision import check  # noqa: E402
from baton.testing import TestHost  # noqa: E402


class Decisions(unittest.TestCase):
    def test_are_those_of_the_hook_with_what_they_carry(self) -> None:
        self.assertEqual(check("on_data", baton.reject(550, "5.7.1", "no")).value, baton.Reply(550, (5, 7, 1), "no"))
        self.assertEqual(check("on_rcpt", baton.discard("not told")), baton.Decision("discard"))
        with self.assertRaisesRegex(TypeError, r"on_rcpt returned quarantine\(\); it returns one of next\(\)"):
            check("on_rcpt", baton.quarantine("virus"))
        with self.assertRaisesRegex(TypeError, "on_data returned None"):
            check("on_data", None)
        with self.assertRaisesRegex(TypeError, "takes a text here"):
            check("on_data", baton.discard())
        with self.assertRaisesRegex(ValueError, "the code is 5xx, not 450"):
            baton.reject(450, "4.7.1", "later")
        with self.assertRaisesRegex(ValueError, "no enhanced status code"):
            baton.reject(550, "5.7", "no")


class Hooks(unittest.TestCase):
    def test_see_the_message_ask_the_store_and_change_the_header(self) -> None:
        host = TestHost(
            config={"prefix": "[list]"}, session={"helo": "client.example", "tls": baton.Tls("TLSv1.3", "c", None, baton.Certificate("ann", "00ff", "expired"))}, sender="ann@us.example",
            headers=[("Subject", "hello")], parts=[{"filename": "a.txt", "content": "x"}, {"content": "y"}],
        )  # fmt: skip

        def on_data() -> baton.Decision:
            first, second = baton.message.parts()
            self.assertEqual((first.filename, second.text(), first.text()), ("a.txt", "y", "x"))
            self.assertEqual((str(baton.envelope.sender), baton.session.helo), ("ann@us.example", "client.example"))
            self.assertEqual((baton.session.iprev, baton.session.tls.certificate.distrust), ("permerror", "expired"))
            self.assertIsNone(baton.session.tls.verified_subject)
            self.assertEqual(baton.kv("seen").increment("all"), 1)
            baton.message.set_header("Subject", f"{baton.config['prefix']} {baton.message.header('subject')}")
            with baton.message.replace_body() as body:
                body.write("new")
            return baton.next()

        self.assertEqual(host.run(SimpleNamespace(on_data=on_data), "data"), baton.next())
        self.assertEqual(host.edits, [("set_header", "Subject", "[list] hello"), ("replace_body", b"new")])
        self.assertEqual(host.kv, {"seen": {"all": b"1"}})

    def test_that_fail_are_logged_with_their_place(self) -> None:
        host = TestHost()
        plugin = SimpleNamespace(on_rcpt=lambda rcpt, _: baton.verify(rcpt))
        with self.assertRaises(baton.HostError) as raised:
            host.run(plugin, "rcpt", "bob@us.example", {})
        self.assertEqual(raised.exception.kind, "denied")
        level, message, fields = host.logs[0]
        self.assertEqual((level, message), ("error", "on_rcpt: HostError: verify bob@us.example: denied"))
        self.assertIn("test_baton.py", fields["stack"])


class Build(unittest.TestCase):
    def test_finds_the_hooks_of_a_module(self) -> None:
        def hooks(text: str) -> list[str]:
            with tempfile.TemporaryDirectory() as folder:
                source = Path(folder) / "plugin.py"
                source.write_text(text)
                return command.hooks_of(source)

        self.assertEqual(hooks("from rules import on_data\ndef on_rcpt(rcpt, parameters): ..."), ["rcpt", "data"])
        with self.assertRaisesRegex(command.Stop, "on_mail is no hook"):
            hooks("def on_mail(): ...")
        with self.assertRaisesRegex(command.Stop, "defines no hook"):
            hooks("def helper(): ...")


if __name__ == "__main__":
    unittest.main()
