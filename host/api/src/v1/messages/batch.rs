//! What the messages of a batch have in common, put together with what each has for itself.

use super::wire::NewMessage;

/// One message of a batch. What it says itself goes first; `metadata` and `data` are put together.
pub(super) fn combine(common: &NewMessage, own: NewMessage) -> NewMessage {
    let list = |own: Vec<_>, common: &Vec<_>| if own.is_empty() { common.clone() } else { own };
    let mut metadata = common.metadata.clone();
    metadata.extend(own.metadata);
    let data = match (common.data.clone(), own.data) {
        (Some(mut data), Some(own)) => {
            data.extend(own);
            Some(data)
        }
        (common, own) => own.or(common),
    };
    NewMessage {
        tenant: own.tenant.or_else(|| common.tenant.clone()),
        stream: own.stream.or_else(|| common.stream.clone()),
        from: own.from.or_else(|| common.from.clone()),
        to: list(own.to, &common.to),
        cc: list(own.cc, &common.cc),
        bcc: list(own.bcc, &common.bcc),
        reply_to: list(own.reply_to, &common.reply_to),
        return_path: own.return_path.or_else(|| common.return_path.clone()),
        subject: own.subject.or_else(|| common.subject.clone()),
        text: own.text.or_else(|| common.text.clone()),
        html: own.html.or_else(|| common.html.clone()),
        template: own.template.or_else(|| common.template.clone()),
        template_version: own.template_version.or(common.template_version),
        data,
        headers: if own.headers.is_empty() { common.headers.clone() } else { own.headers },
        // Those in common are decoded once, by whoever takes the batch.
        attachments: own.attachments,
        tracking: own.tracking.or(common.tracking),
        tags: if own.tags.is_empty() { common.tags.clone() } else { own.tags },
        metadata,
        priority: own.priority.or(common.priority),
        send_at: own.send_at.or(common.send_at),
        expires_at: own.expires_at.or(common.expires_at),
        dry_run: own.dry_run || common.dry_run,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_goes_before_what_all_have() {
        let read = |json: &str| serde_json::from_str::<NewMessage>(json).unwrap();
        let common = read(
            r#"{"from":"a@a.example","subject":"common","tags":["x"],"metadata":{"a":"1","k":"1"},"data":{"a":1,"b":{"x":1}},"priority":3}"#,
        );
        let own = read(r#"{"to":["b@b.example"],"subject":"own","metadata":{"k":"v"},"data":{"b":2}}"#);
        let combined = combine(&common, own);
        assert_eq!(combined.subject.as_deref(), Some("own"));
        assert_eq!((combined.to.len(), combined.tags, combined.priority), (1, vec!["x".to_owned()], Some(3)));
        let metadata: Vec<_> =
            combined.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(metadata, [("a", "1"), ("k", "v")]);
        assert_eq!(serde_json::to_value(combined.data).unwrap(), serde_json::json!({"a": 1, "b": 2}));
    }
}
