"""Ordinary mail that goes on while something else is tried."""
import statistics
import threading
import time

from lab.smtp import Client


class Bystander(threading.Thread):
    """Sends ordinary mail all the time, a message a session, and notes how long each took."""

    def __init__(self, address, name="bystander", pause_s=0.01):
        super().__init__(daemon=True)
        self.address = address
        self.name = name
        self.pause_s = pause_s
        self.took = []
        self.failures = []
        self.taken = set()
        self.stopping = False

    def run(self):
        number = 0
        while not self.stopping:
            began = time.monotonic()
            number += 1
            trial = f"{self.name}-{number}"
            try:
                with Client(self.address) as client:
                    client.greet()
                    message = f"X-Trial-Id: {trial}\r\nSubject: bystander\r\n\r\nx\r\n"
                    code, text = client.send("a@sender.example", "b@dest.example", message.encode())
                if code == 250:
                    self.taken.add(trial)
                else:
                    self.failures.append(f"{code} {text}")
            except (OSError, ValueError) as error:
                self.failures.append(repr(error))
            self.took.append(time.monotonic() - began)
            time.sleep(self.pause_s)

    def p99(self):
        """Of the messages since this was asked last, in seconds."""
        took, self.took = self.took, []
        return p99(took)


def p99(took):
    return statistics.quantiles(took, n=100)[98] if len(took) > 1 else 0.0
