use super::*;
use baton_sdk::testing::{TestHost, Value, json};

fn host(limits: Value) -> TestHost {
    let host = TestHost::new().kv("tenant-quota").config(json!({ "limits": limits })).stream("acme", "news");
    host.account("ann")
        .sender("ann@Shop.example")
        .recipient("b@dest.example")
        .message("Subject: x\n\nhello\n")
}

fn data(host: &TestHost) -> DataDecision {
    host.plugin::<TenantQuota>().unwrap().on_data(&host.context()).unwrap()
}

fn rcpt(host: &TestHost) -> RcptDecision {
    let rcpt = "b@dest.example".parse().unwrap();
    host.plugin::<TenantQuota>().unwrap().on_rcpt(&host.context(), &rcpt).unwrap()
}

fn limit(per: &str, count: &str, limit: u64) -> Value {
    json!({ "name": format!("{per}-{count}"), "per": per, "count": count, "limit": limit, "window": "hour" })
}

#[test]
fn messages_are_counted_and_the_window_ends() {
    let host = host(json!([limit("tenant", "messages", 2)]));
    assert_eq!([data(&host), data(&host)], [DataDecision::Next, DataDecision::Next]);
    let DataDecision::Tempfail(reply) = data(&host) else { panic!("the limit is used up") };
    assert_eq!((reply.code, reply.text.contains("quota of acme")), (452, true));
    assert!(matches!(rcpt(&host), RcptDecision::Tempfail(_)), "told at RCPT already");
    host.advance(Duration::from_secs(3_600));
    assert_eq!((rcpt(&host), data(&host)), (RcptDecision::Next, DataDecision::Next));
}

#[test]
fn recipients_and_octets_are_counted() {
    let host = host(json!([limit("account", "recipients", 3)])).recipient("c@dest.example");
    assert_eq!(data(&host), DataDecision::Next);
    assert!(matches!(data(&host), DataDecision::Tempfail(_)), "two and two are more than three");
    let octets = TestHost::new()
        .kv("tenant-quota")
        .config(json!({ "limits": [limit("sender-domain", "octets", 30)] }));
    let octets =
        octets.sender("ann@shop.example").recipient("b@dest.example").message("Subject: x\n\nhello\n");
    assert_eq!(data(&octets), DataDecision::Next, "23 octets");
    assert!(matches!(data(&octets), DataDecision::Tempfail(_)));
}

#[test]
fn what_is_refused_is_counted_by_no_limit() {
    let host = host(json!([limit("account", "messages", 2), limit("tenant", "octets", 30)]));
    assert_eq!(data(&host), DataDecision::Next);
    for _ in 0..5 {
        assert!(matches!(data(&host), DataDecision::Tempfail(_)));
    }
    let small = host.message("S: x\n\n");
    assert_eq!(data(&small), DataDecision::Next, "the second message of the account");
}

#[test]
fn some_have_other_limits_and_replies() {
    let mut own = limit("tenant", "messages", 100);
    own["overrides"] = json!({ "acme": 0 });
    own["reply"] = json!("550 5.7.1 no more than {limit} for {who}");
    let host = host(json!([own]));
    let DataDecision::Reject(reply) = data(&host) else { panic!("nothing is allowed") };
    assert_eq!(reply.text, "no more than 0 for acme");
    assert_eq!(host.metrics()["refused{limit=tenant-messages}"], 1.0);
}

#[test]
fn without_a_tenant_there_is_no_limit_by_tenant() {
    let host =
        TestHost::new().kv("tenant-quota").config(json!({ "limits": [limit("tenant", "messages", 0)] }));
    assert_eq!(data(&host.sender("a@b.example").message("S: x\n\n")), DataDecision::Next);
}

#[test]
fn problems_are_named() {
    for (limits, path) in [
        (json!([]), "limits"),
        (json!([limit("tenant", "messages", 1), limit("tenant", "messages", 1)]), "limits[1].name"),
        (json!([limit("tenant", "letters", 1)]), "limits[0].count"),
        (json!([limit("tenant", "messages", u64::MAX)]), "limits[0].limit"),
    ] {
        let host = TestHost::new().config(json!({ "limits": limits }));
        assert_eq!(host.plugin::<TenantQuota>().map(|_| ()).unwrap_err().as_slice()[0].path, path);
    }
}
