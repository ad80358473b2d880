"""Prints dkimpy's verdict on each signature of the file `message`, from the top, and on its chain of custody; keys are in
the zone lines of `zone`.

Run by tests/tests/relay/signing.rs and custody.rs, with the Python that .ci/vectors installs.
"""

import re

import dkim


def keys():
    """The texts of the zone by their names, as dkimpy asks for them."""
    found = {}
    with open("zone", encoding="ascii") as lines:
        for line in lines:
            if " IN TXT " in line:
                name = line.split(" ", 1)[0]
                found[name] = "".join(re.findall(r'"([^"]*)"', line)).encode("ascii")
    return found


def main():
    zone = keys()
    with open("message", "rb") as file:
        message = file.read()

    def answer(name, timeout=5):
        return zone.get(name.decode("ascii"))

    checker = dkim.DKIM(message)
    count = sum(1 for name, _ in checker.headers if name.lower() == b"dkim-signature")
    verdicts = []
    for index in range(count):
        try:
            verdicts.append(str(dkim.DKIM(message).verify(idx=index, dnsfunc=answer)))
        except dkim.DKIMException as error:
            verdicts.append(f"error:{error}")
    print(" ".join(verdicts))
    # dkimpy asks for the keys of a chain without a deadline in some places.
    state, _, reason = dkim.arc_verify(message, dnsfunc=answer)
    print(f"arc={state.decode('ascii')}" if state != dkim.CV_Fail else f"arc=fail {reason}")


if __name__ == "__main__":
    main()
