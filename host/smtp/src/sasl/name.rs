//! Names in messages of SASL.

/// What `saslname` stands for (RFC 5801 4, RFC 5802 5.1): commas and equals signs are escaped. None when it is none.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('=');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (escape, rest) = part.split_at_checked(2)?;
        name.push(match escape {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        name.push_str(rest);
    }
    Some(name)
}
