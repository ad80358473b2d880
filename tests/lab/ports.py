"""Ports of the system's choice, and waiting for who listens on them."""
import socket
import time


def free():
    """A port that is free now. Somebody may take it before it is used; then the start fails and says so."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_greeting(address, process=None, seconds=60.0):
    """Seconds until the server greets with 220."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if process is not None and process.exit_code() is not None:
            raise RuntimeError(f"the process ended with {process.exit_code()} before it listened: {process.log_tail()}")
        try:
            with socket.create_connection(address, timeout=5) as connection:
                if connection.recv(3) == b"220":
                    return time.monotonic() - began
        except OSError:
            pass
        time.sleep(0.005)
    raise TimeoutError(f"no greeting from {address} within {seconds} s")
