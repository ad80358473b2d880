//! Who the relay is once its ports are open: a start as root ends as somebody who may do little.

use anyhow::{Context, ensure};
use nix::unistd::{Gid, Group, Uid, User, setgroups, setresgid, setresuid};

/// The user and group to become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Privileges {
    user: Option<Uid>,
    group: Option<Gid>,
}

/// A key, what it says, and what is wrong with it.
type Mistake = (&'static str, String, String);

impl Privileges {
    /// Finds user and group, each by its name or number. Without a group, it is that of the user.
    pub(crate) fn find(user: Option<&str>, group: Option<&str>) -> Result<Privileges, Mistake> {
        let mut found = Privileges::default();
        if let Some(name) = user {
            let (uid, gid) = find_user(name).map_err(|reason| ("user", name.to_owned(), reason))?;
            (found.user, found.group) = (Some(uid), gid);
        }
        if let Some(name) = group {
            if user.is_none() {
                return Err(("group", name.to_owned(), "the setting `user` is needed with it".to_owned()));
            }
            found.group = Some(find_group(name).map_err(|reason| ("group", name.to_owned(), reason))?);
        }
        if let (Some(name), Some(_), None) = (user, found.user, found.group) {
            return Err((
                "group",
                name.to_owned(),
                "the user is a number without an entry, so its group is needed".to_owned(),
            ));
        }
        Ok(found)
    }

    /// Becomes them for good: of the process, with all its threads. Supplementary groups are left.
    pub(crate) fn give_up_others(self) -> anyhow::Result<()> {
        let Privileges { user: Some(uid), group: Some(gid) } = self else { return Ok(()) };
        if uid == Uid::current() && gid == Gid::current() {
            return Ok(());
        }
        let explain =
            || format!("user: can not become user {uid} and group {gid}; start as root, or as that user");
        setgroups(&[gid]).with_context(explain)?;
        setresgid(gid, gid, gid).with_context(explain)?;
        setresuid(uid, uid, uid).with_context(explain)?;
        ensure!(
            uid.is_root() || setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_err(),
            "user: the way back to root is open"
        );
        Ok(())
    }
}

fn find_user(name: &str) -> Result<(Uid, Option<Gid>), String> {
    let known = match name.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => User::from_name(name),
    };
    match (known, name.parse()) {
        (Ok(Some(user)), _) => Ok((user.uid, Some(user.gid))),
        (Ok(None), Ok(number)) => Ok((Uid::from_raw(number), None)),
        (Ok(None), Err(_)) => Err("there is no such user".to_owned()),
        (Err(error), _) => Err(error.to_string()),
    }
}

fn find_group(name: &str) -> Result<Gid, String> {
    if let Ok(number) = name.parse() {
        return Ok(Gid::from_raw(number));
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid),
        Ok(None) => Err("there is no such group".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        let root = Privileges { user: Some(Uid::from_raw(0)), group: Some(Gid::from_raw(0)) };
        assert_eq!(Privileges::find(Some("root"), None), Ok(root));
        assert_eq!(Privileges::find(Some("0"), Some("root")), Ok(root));
        let numbers = Privileges { user: Some(Uid::from_raw(54_321)), group: Some(Gid::from_raw(12_345)) };
        assert_eq!(Privileges::find(Some("54321"), Some("12345")), Ok(numbers));
        for (user, group, key) in [
            (Some("no-such-user"), None, "user"),
            (Some("root"), Some("no-such-group"), "group"),
            (Some("54321"), None, "group"),
            (None, Some("root"), "group"),
        ] {
            assert_eq!(Privileges::find(user, group).unwrap_err().0, key);
        }
        assert_eq!(Privileges::find(None, None), Ok(Privileges::default()));
    }
}
