"""Debian's Postfix as a process of ours: unpacked, never installed, in a directory and a mount namespace of its own."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from lab import ports
from lab.process import Process

# Ids that nobody has; the names live in a passwd file that only the mount namespace sees.
OWNER_ID = 52105
DROP_ID = 52106

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
daemon_directory = {tree}/usr/lib/postfix/sbin
command_directory = {tree}/usr/sbin
shlib_directory = {tree}/usr/lib/postfix
meta_directory = {home}/conf
mail_owner = postfix
setgid_group = postdrop
sendmail_path = {tree}/usr/sbin/sendmail
newaliases_path = {tree}/usr/bin/newaliases
mailq_path = {tree}/usr/bin/mailq
html_directory = no
manpage_directory = /usr/share/man
readme_directory = no
sample_directory = no
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
myhostname = postfix.bench.example
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
relayhost = [127.0.0.1]:{next_hop}
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_peername_lookup = no
maillog_file = {home}/mail.log
maillog_file_prefixes = {home}
import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME LD_LIBRARY_PATH={libraries} SASL_PATH={tree}/usr/lib/x86_64-linux-gnu/sasl2
export_environment = TZ LANG MAIL_CONFIG LD_LIBRARY_PATH SASL_PATH
{extra}
"""

QUEUES = "active bounce corrupt defer deferred flush hold incoming private saved trace".split()


class Unavailable(Exception):
    """Postfix can not be had or started here; the text says why."""


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(base) / "baton" / "postfix"


def unpack():
    """The unpacked tree; fetched from the distribution's archive the first time."""
    tree = cache() / "tree"
    mechanisms = tree / "usr/lib/x86_64-linux-gnu/sasl2"
    if (tree / "usr/lib/postfix/sbin/master").exists() and mechanisms.exists():
        return tree
    cache().mkdir(parents=True, exist_ok=True)
    print("==> fetching Debian's Postfix for comparison (unpacked in the cache, not installed)", flush=True)
    fetch("postfix", tree)
    fetch("libsasl2-modules", tree)
    for library, package in (("libicuuc", "libicu72"), ("libdb-5", "libdb5.3"), ("libnsl", "libnsl2"), ("libsasl2", "libsasl2-2"), ("libssl", "libssl3")):
        if library in missing_libraries(tree):
            fetch(package, tree)
    missing = missing_libraries(tree)
    if missing:
        raise Unavailable(f"libraries are missing for Postfix: {missing}")
    return tree


def fetch(package, tree):
    with tempfile.TemporaryDirectory() as folder:
        # Readable for the user as whom apt downloads.
        os.chmod(folder, 0o777)
        done = subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            subprocess.run(["apt-get", "update", "-qq"], capture_output=True)
            done = subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, capture_output=True, text=True)
        archives = list(pathlib.Path(folder).glob("*.deb"))
        if not archives:
            raise Unavailable(f"apt-get download {package} failed: {done.stderr.strip()}")
        subprocess.run(["dpkg", "-x", str(archives[0]), str(tree)], check=True)


def library_path(tree):
    return f"{tree}/usr/lib/postfix:{tree}/usr/lib/x86_64-linux-gnu:{tree}/lib/x86_64-linux-gnu"


def missing_libraries(tree):
    done = subprocess.run(
        ["ldd", str(tree / "usr/lib/postfix/sbin/smtpd")],
        env={**os.environ, "LD_LIBRARY_PATH": library_path(tree)}, capture_output=True, text=True,
    )
    return " ".join(line.split()[0] for line in done.stdout.splitlines() if "not found" in line)


class Postfix(Process):
    """One instance, relaying everything to a port on loopback. Its settings are Debian's, but for names and paths."""

    def __init__(self, next_hop, extra="", port=None):
        if os.geteuid() != 0:
            raise Unavailable("Postfix starts only as root")
        super().__init__()
        # A cache below a home directory can not be entered by Postfix's own user.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="postfix-", dir="/var/tmp"))
        os.chmod(self.home, 0o755)
        self.unpacked = self.home / "tree"
        shutil.copytree(unpack(), self.unpacked, symlinks=True)
        self.next_hop = next_hop
        self.extra = extra
        self.port = port or ports.free()
        self.lay_out()

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def lay_out(self):
        home = self.home
        conf = home / "conf"
        conf.mkdir()
        text = MAIN_CF.format(home=home, tree=self.unpacked, next_hop=self.next_hop, libraries=library_path(self.unpacked), extra=self.extra)
        (conf / "main.cf").write_text(text)
        (conf / "master.cf").write_text(self.services())
        shutil.copy(self.unpacked / "usr/share/postfix/dynamicmaps.cf", conf)
        for name, line in (("passwd", f"postfix:x:{OWNER_ID}:{OWNER_ID}::/nonexistent:/usr/sbin/nologin\n"), ("group", f"postfix:x:{OWNER_ID}:\npostdrop:x:{DROP_ID}:\n")):
            (home / name).write_text(pathlib.Path("/etc", name).read_text() + line)
        for queue in QUEUES:
            (home / "queue" / queue).mkdir(parents=True, mode=0o700)
            os.chown(home / "queue" / queue, OWNER_ID, 0)
        for queue, mode in (("maildrop", 0o730), ("public", 0o710)):
            (home / "queue" / queue).mkdir()
            os.chown(home / "queue" / queue, OWNER_ID, DROP_ID)
            os.chmod(home / "queue" / queue, mode)
        (home / "queue/pid").mkdir()
        (home / "data").mkdir()
        os.chown(home / "data", OWNER_ID, 0)

    def services(self):
        """The distribution's services; without chroot, and smtpd on our port."""
        lines = []
        for line in (self.unpacked / "usr/share/postfix/master.cf.dist").read_text().splitlines():
            if not line or line.startswith("#"):
                continue
            fields = line.split()
            if not line.startswith(" ") and len(fields) >= 8:
                fields[4] = "n"
                if fields[0] == "smtp" and fields[1] == "inet":
                    fields[0] = f"127.0.0.1:{self.port}"
                line = " ".join(fields)
            lines.append(line)
        return "\n".join(lines) + "\n"

    def start(self):
        steps = " && ".join((
            'mount --bind "$1/passwd" /etc/passwd',
            'mount --bind "$1/group" /etc/group',
            'exec "$2/usr/lib/postfix/sbin/master" -c "$1/conf" -s',
        ))
        environment = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": library_path(self.unpacked), "MAIL_CONFIG": str(self.home / "conf")}
        self.launch(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", steps, "sh", str(self.home), str(self.unpacked)],
            env=environment, log=self.home / "master.log",
        )
        ports.wait_for_greeting(self.address, self)

    def queued(self):
        """Messages in the queue, by its files."""
        return sum(1 for queue in ("incoming", "active", "deferred", "maildrop") for path in (self.home / "queue" / queue).rglob("*") if path.is_file())

    def queued_or_gone(self):
        for _ in range(5):
            try:
                return self.queued()
            except FileNotFoundError:
                time.sleep(0.05)
        return self.queued()

    def close(self):
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
