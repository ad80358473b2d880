use std::io::Write;

use baton_mail::body::Content;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// As RFC 9990 has it, with a namespace, an unknown element, and texts that need care.
const XML: &str = "<?xml version=\"1.0\"?>\n<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\"><version>1.0</version>\
<report_metadata><org_name>Inbox &amp; Co&#x2e;</org_name><email>d@inbox.example</email><report_id>r-1</report_id>\
<date_range><begin>1700000000</begin><end>1700086399.5</end></date_range><extra><deep>x</deep></extra></report_metadata>\
<policy_published><domain>Sender.example</domain><p>reject</p><np>none</np><testing>n</testing></policy_published>\
<record><row><source_ip>192.0.2.1</source_ip><count>3</count><policy_evaluated><disposition>none</disposition>\
<dkim>pass</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>sender.example</header_from></identifiers>\
<auth_results><dkim><domain>sender.example</domain><selector>s1</selector><result>pass</result></dkim>\
<spf><domain>other.example</domain><result>none</result></spf></auth_results></record>\
<record><row><source_ip>192.0.2.9</source_ip><count>5</count><policy_evaluated><disposition>reject</disposition>\
<dkim>fail</dkim><spf>fail</spf><reason><type>local_policy</type><comment>a&#10;b</comment></reason></policy_evaluated></row>\
<identifiers><header_from>sender.example</header_from></identifiers><auth_results/></record></feedback>";

const JSON: &str = "{\"organization-name\":\"Inbox\",\"date-range\":{\"start-datetime\":\"2026-11-26T00:00:00Z\",\
\"end-datetime\":\"2026-11-26T23:59:59Z\"},\"contact-info\":\"t@inbox.example\",\"report-id\":\"t-1\",\"policies\":[{\"policy\":\
{\"policy-type\":\"sts\",\"policy-domain\":\"sender.example\",\"mx-host\":\"mx.sender.example\"},\"summary\":\
{\"total-successful-session-count\":5,\"total-failure-session-count\":2},\"failure-details\":[{\"result-type\":\
\"certificate-expired\",\"sending-mta-ip\":\"192.0.2.1\",\"failed-session-count\":2}]}]}";

fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

fn zip(octets: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file("report.xml", zip::write::SimpleFileOptions::default()).unwrap();
    archive.write_all(octets).unwrap();
    archive.finish().unwrap().into_inner()
}

fn mail(content_type: &str, octets: &[u8]) -> Content {
    use base64::Engine;

    let encoded = base64::engine::general_purpose::STANDARD.encode(octets);
    let text = format!(
        "From: d@inbox.example\r\nSubject: Report\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nA report.\r\n--b\r\nContent-Type: {content_type}\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n--b--\r\n"
    );
    Content::split(text.into_bytes().into())
}

fn read_mail(content_type: &str, octets: &[u8]) -> Result<Report, ReportError> {
    read(&mail(content_type, octets), &MimeLimits::default())
}

#[test]
fn aggregate_reports_are_read_however_they_are_packed() {
    let plain = read_mail("text/xml", XML.as_bytes()).unwrap();
    assert_eq!(read_mail("application/gzip", &gzip(XML.as_bytes())).unwrap(), plain);
    assert_eq!(read_mail("application/zip", &zip(XML.as_bytes())).unwrap(), plain);
    assert_eq!(
        read_mail("application/octet-stream; name=\"a!b!1!2.xml.gz\"", &gzip(XML.as_bytes())).unwrap(),
        plain
    );
    let Report::Dmarc(report) = plain else { panic!("a report of DMARC") };
    assert_eq!((report.organization.as_str(), report.domain.as_str()), ("Inbox & Co.", "sender.example"));
    assert_eq!(
        (report.begin_s, report.end_s, report.policy.p.as_str()),
        (1_700_000_000, 1_700_086_399, "reject")
    );
    let [failed, passed] = report.rows.as_slice() else { panic!("two rows") };
    assert_eq!((failed.count, failed.passes(), failed.reason.as_str()), (5, false, "local_policy"));
    assert_eq!(passed.dkim_results, "pass sender.example (s1)");
    assert!(passed.passes() && passed.spf_results == "none other.example");
}

#[test]
fn reports_about_tls_are_read() {
    let report = read_mail("application/tlsrpt+gzip", &gzip(JSON.as_bytes())).unwrap();
    assert_eq!(report.summary(), "TLS report of Inbox about sender.example: 5 sessions, 2 failed");
    assert!(report.key().starts_with("tls/sender.example/1795651200/Inbox/"), "{}", report.key());
}

#[test]
fn an_element_around_a_report_and_a_root_of_another_name_do_no_harm() {
    let plain = read_mail("text/xml", XML.as_bytes()).unwrap();
    let declared = XML.split_once('\n').unwrap();
    let around = format!("{}<report><version>9</version>{}</report>", declared.0, declared.1);
    assert_eq!(read_mail("text/xml", around.as_bytes()).unwrap(), plain);
    let renamed = XML.replace("<feedback xmlns", "<dmarc xmlns").replace("</feedback>", "</dmarc>");
    assert_eq!(read_mail("text/xml", renamed.as_bytes()).unwrap(), plain);
    // A second report in the same file is not mixed into the first.
    let twice = format!("<all>{0}{0}</all>", declared.1);
    let Report::Dmarc(report) = read_mail("text/xml", twice.as_bytes()).unwrap() else { panic!("DMARC") };
    assert_eq!(report.rows.iter().map(|row| row.count).sum::<u64>(), 8);
}

#[test]
fn reports_about_tls_may_lack_what_nobody_needs() {
    let without = JSON
        .replace(",\"policy-domain\":\"sender.example\"", "")
        .replace("\"contact-info\":\"t@inbox.example\"", "\"contact-info\":null")
        .replace(",\"sending-mta-ip\":\"192.0.2.1\"", ",\"sending-mta-ip\":null");
    let Report::Tls(report) = read_mail("application/json", without.as_bytes()).unwrap() else {
        panic!("a report about TLS")
    };
    assert_eq!((report.policies[0].domain.as_str(), report.sessions()), ("", (5, 2)));
    let none = without.replace("[{\"result-type\"", "null,\"x\":[{\"result-type\"");
    assert!(matches!(read_mail("application/json", none.as_bytes()), Ok(Report::Tls(_))));
}

#[test]
fn bombs_and_rubbish_are_refused() {
    let damaged = |content_type: &str, octets: &[u8]| match read_mail(content_type, octets).unwrap_err() {
        ReportError::Damaged(reason) => reason,
        other => panic!("{other:?}"),
    };
    let bomb = vec![b' '; usize::try_from(REPORT_OCTETS_MAX).unwrap() + 10];
    assert!(damaged("application/gzip", &gzip(&bomb)).contains("unfolds to more than"));
    assert!(damaged("application/zip", &zip(&bomb)).contains("unfolds to more than"));
    assert!(damaged("application/gzip", b"\x1f\x8b\x08garbage").contains("damaged packing"));
    assert!(damaged("application/zip", b"PK\x03\x04garbage").contains("damaged zip"));
    assert!(damaged("text/xml", "<a>".repeat(100_000).as_bytes()).contains("too deep"));
    assert!(damaged("text/xml", b"<html></html>").contains("no report"));
    assert!(damaged("application/json", b"{\"a\":").contains("damaged JSON"));
    let laughs =
        format!("<!DOCTYPE x [<!ENTITY a \"{}\">]>{}", "x".repeat(1_000), XML.replace("r-1", "&a;&a;r-1"));
    let Report::Dmarc(report) = read_mail("text/xml", laughs.as_bytes()).unwrap() else { panic!("DMARC") };
    assert_eq!(report.id, "r-1", "entities of the sender are nothing");
    let words = Content::split("From: a@b.example\r\n\r\nHello\r\n".as_bytes().to_vec().into());
    assert_eq!(read(&words, &MimeLimits::default()).unwrap_err(), ReportError::Missing);
}

#[test]
fn rows_beyond_the_bound_are_counted_and_the_largest_kept() {
    let row = |number: usize| {
        format!(
            "<record><row><source_ip>192.0.2.{}</source_ip><count>{number}</count></row></record>",
            number % 250
        )
    };
    let many: String =
        (1..=5_000).map(|number| row(number).replace("192.0.2", &format!("10.{}.2", number / 250))).collect();
    let text =
        format!("<feedback><policy_published><domain>a.example</domain></policy_published>{many}</feedback>");
    let Ok(Report::Dmarc(report)) = read_octets(text.as_bytes()) else { panic!("a report of DMARC") };
    assert_eq!((report.rows.len(), report.rows_left_out, report.rows[0].count), (ROWS_MAX, 4_800, 5_000));
}
