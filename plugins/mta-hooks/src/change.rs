//! Carrying out what the service wants changed.

use std::collections::BTreeMap;

use baton_sdk::prelude::*;

use crate::response::Modification;

/// Makes all changes, in order; changes of fields that are there come before fields that are added.
pub(crate) fn carry_out(cx: &Context, modifications: &[Modification]) -> Result<()> {
    change_fields(cx, modifications)?;
    let (message, envelope) = (cx.message(), cx.envelope());
    for modification in modifications {
        match modification {
            Modification::ChangeFrom { value } => match bare(value) {
                "" => envelope.set_sender(None)?,
                sender => envelope.set_sender(Some(&sender.parse()?))?,
            },
            Modification::AddRecipient { value } => envelope.add_recipient(&bare(value).parse()?)?,
            Modification::DeleteRecipient { value } => {
                let unwanted: Address = bare(value).parse()?;
                let same = |rcpt: &Address| {
                    rcpt.domain() == unwanted.domain() && rcpt.local().eq_ignore_ascii_case(unwanted.local())
                };
                for (index, _) in (0_u32..).zip(envelope.recipients()).filter(|(_, rcpt)| same(rcpt)) {
                    envelope.remove_recipient(index)?;
                }
            }
            Modification::ReplaceContents { value } => {
                let body = message.replace_body()?;
                body.write(value.replace("\r\n", "\n").replace('\n', "\r\n"))?;
                body.finish()?;
            }
            Modification::AddHeader { name, value } => message.add_header(name, value.trim())?,
            Modification::InsertHeader { index, name, value } => {
                message.insert_header(*index, name, value.trim())?
            }
            Modification::ChangeHeader { .. } | Modification::DeleteHeader { .. } => {}
        }
    }
    Ok(())
}

/// `<a@b.example>` without its brackets.
fn bare(address: &str) -> &str {
    let address = address.trim();
    address.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(address)
}

/// Changes and deletes single fields: `index` counts those of the name, from 1. An empty value deletes.
fn change_fields(cx: &Context, modifications: &[Modification]) -> Result<()> {
    let message = cx.message();
    let mut changed: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    for modification in modifications {
        let (index, name, value) = match modification {
            Modification::ChangeHeader { index, name, value } => {
                (*index, name, Some(value.trim().to_owned()))
            }
            Modification::DeleteHeader { index, name } => (*index, name, None),
            _ => continue,
        };
        let values = changed
            .entry(name.to_ascii_lowercase())
            .or_insert_with(|| message.headers(name).into_iter().map(Some).collect());
        if let Some(own) = values.get_mut((index.max(1) - 1) as usize) {
            *own = value.filter(|value| !value.is_empty());
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    for name in changed.keys() {
        message.remove_header(name)?;
    }
    // The contract removes all fields of a name at once, so those that stay are put back where they stood.
    let mut index = 0;
    for name in message.header_names() {
        if let Some(values) = changed.get_mut(&name.to_ascii_lowercase()) {
            let value = if values.is_empty() { None } else { values.remove(0) };
            match value {
                Some(value) => message.insert_header(index, &name, &value)?,
                None => continue,
            }
        }
        index += 1;
    }
    Ok(())
}
