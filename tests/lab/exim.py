"""Debian's Exim as a process of ours: unpacked, never installed, in a directory and a mount namespace of its own."""
import os
import pathlib
import shutil
import tempfile

from lab import ports
from lab.postfix import Unavailable, cache, fetch
from lab.process import Process

# An id that nobody has; its name lives in a passwd file that only the mount namespace sees.
EXIM_ID = 52107
USER, PASSWORD = "ann", "correct horse"

CONFIGURE = """\
primary_hostname = exim.bench.example
exim_path = {home}/exim4
spool_directory = {home}/spool
deliver_drop_privilege = true
log_file_path = {home}/log/%slog
log_selector = +all
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
hostlist relay_from_hosts = 127.0.0.1
host_lookup =
rfc1413_hosts =
acl_smtp_rcpt = check_rcpt
acl_smtp_data = check_data
accept_8bitmime = true
chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
pipelining_advertise_hosts = *
tls_advertise_hosts = {tls_hosts}
{tls}
queue_run_max = 5
never_users =
{extra}

begin acl
check_rcpt:
  accept
check_data:
  accept

begin routers
everything:
  driver = manualroute
  transport = on
  route_list = * 127.0.0.1 byname
  self = send

begin transports
on:
  driver = smtp
  port = {next_hop}
  allow_localhost
  hosts_try_chunking = *
  {transport}

begin retry
* * F,1h,1s

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^{user}^{password}
  server_prompts = :
  server_set_id = $auth2
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
"""


def unpack():
    """The unpacked tree; fetched from the distribution's archive the first time."""
    tree = cache().parent / "exim/tree"
    if not (tree / "usr/sbin/exim4").exists():
        tree.mkdir(parents=True, exist_ok=True)
        print("==> fetching Debian's Exim for comparison (unpacked in the cache, not installed)", flush=True)
        fetch("exim4-daemon-light", tree)
    return tree


class Exim(Process):
    """One instance, relaying everything to a port on loopback. `chain` and `key` let it offer TLS, `authority` is whom it
    believes; `transport` and `extra` are lines of its configuration, in which {0} is its folder."""

    def __init__(self, next_hop, chain=None, key=None, authority=None, transport="", extra="", port=None):
        if os.geteuid() != 0:
            raise Unavailable("Exim starts only as root")
        super().__init__()
        # A cache below a home directory can not be entered by Exim's own user.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="exim-", dir="/var/tmp"))
        os.chmod(self.home, 0o755)
        self.port = port or ports.free()
        self.program = self.home / "exim4"
        shutil.copy(unpack() / "usr/sbin/exim4", self.program)
        for folder in ("spool", "log"):
            (self.home / folder).mkdir()
            os.chown(self.home / folder, EXIM_ID, EXIM_ID)
        tls = ""
        if chain:
            for source, name in ((chain, "tls.crt"), (key, "tls.key")):
                shutil.copy(source, self.home / name)
                os.chmod(self.home / name, 0o644)
            tls = f"tls_certificate = {self.home}/tls.crt\ntls_privatekey = {self.home}/tls.key"
        if authority:
            shutil.copy(authority, self.home / "ca.crt")
            os.chmod(self.home / "ca.crt", 0o644)
        transport = transport.format(self.home).replace("\n", "\n  ")
        text = CONFIGURE.format(
            home=self.home, port=self.port, next_hop=next_hop, tls=tls, tls_hosts="*" if chain else ":", transport=transport,
            extra=extra, user=USER, password=PASSWORD,
        )
        (self.home / "configure").write_text(text)
        for name, line in (("passwd", f"Debian-exim:x:{EXIM_ID}:{EXIM_ID}::/nonexistent:/usr/sbin/nologin\n"), ("group", f"Debian-exim:x:{EXIM_ID}:\n")):
            (self.home / name).write_text(pathlib.Path("/etc", name).read_text() + line)

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def start(self):
        steps = " && ".join((
            'mount --bind "$1/passwd" /etc/passwd',
            'mount --bind "$1/group" /etc/group',
            'exec "$1/exim4" -C "$1/configure" -bdf -q1s',
        ))
        self.launch(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", steps, "sh", str(self.home)],
            env={"PATH": os.environ["PATH"]}, log=self.home / "exim.log",
        )
        ports.wait_for_greeting(self.address, self)

    def told(self):
        """What it wrote into its logs."""
        return "".join(path.read_text("utf-8", "replace") for path in sorted((self.home / "log").glob("*log")))

    def close(self):
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
