"""Reads the DMARC aggregate report in the file `report` (gzip) by another implementation of RFC 9990, which is strict, and
prints what it says: a line for the whole, then one for each record.

Run by tests/tests/relay/dmarc_reports.rs, with the Python that .ci/vectors installs.
"""

from dmarc_report.parser import DMARCParser


def main():
    report = DMARCParser.parse_file("report")
    for warning in report.warnings:
        print("warning", warning)
    policy = report.policy_published
    print(report.format.value, policy.domain, policy.p.value, policy.sp.value, policy.testing.value)
    for record in sorted(report.records, key=lambda record: record.identifiers.header_from):
        evaluated = record.policy_evaluated
        reasons = ",".join(reason.type.value for reason in evaluated.reasons)
        print(
            record.identifiers.header_from,
            record.source_ip,
            record.count,
            evaluated.disposition.value,
            f"dkim={evaluated.dkim.value} spf={evaluated.spf.value}",
            reasons or "-",
        )


main()
