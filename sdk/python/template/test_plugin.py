"""The hooks in Python, with a relay made up for each test. `baton plugin test` runs the component."""

import unittest

import baton
import plugin
from baton.testing import TestHost

HOST = TestHost(config={"blocked": ["bad.example"]})


class Plugin(unittest.TestCase):
    def test_settings_are_checked(self) -> None:
        self.assertEqual(HOST.problems(plugin), [])
        self.assertEqual(TestHost(config={"blocked": "bad.example"}).problems(plugin)[0].path, "blocked")

    # hook: rcpt
    def test_blocked_domains_are_refused(self) -> None:
        self.assertEqual(HOST.run(plugin, "rcpt", "ann@good.example", {}), baton.next())
        refused = HOST.run(plugin, "rcpt", "ann@bad.example", {})
        self.assertEqual(refused, baton.reject(550, "5.7.1", "we do not serve that domain"))

    # hook: end


if __name__ == "__main__":
    unittest.main()
