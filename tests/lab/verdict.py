"""How a trial ends: each figure beside its bound, and an exit code."""


class Verdict:
    def __init__(self, title):
        self.title = title
        self.failed = []
        print(f"== {title}", flush=True)

    def hold(self, what, figure, holds, bound):
        """Notes one figure and whether it keeps its bound."""
        mark = "ok  " if holds else "FAIL"
        print(f"  {mark} {what}: {figure} (bound: {bound})", flush=True)
        if not holds:
            self.failed.append(what)

    def must_fail(self, what, figure, failed):
        """A control run: when it does not fail, the trial itself is broken."""
        mark = "ok  " if failed else "FAIL"
        print(f"  {mark} control, must fail: {what}: {figure}", flush=True)
        if not failed:
            self.failed.append(f"control: {what}")

    def note(self, text):
        print(f"       {text}", flush=True)

    def end(self):
        print(f"== {self.title}: {'held' if not self.failed else 'NOT HELD: ' + ', '.join(self.failed)}", flush=True)
        return 0 if not self.failed else 1
