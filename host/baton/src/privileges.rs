//! Who the relay is once its ports are open: a start as root ends as somebody who may do little.
//!
//! Invariant: root is given up while the process has one thread. User, groups and capabilities belong to a thread
//! (credentials(7), capabilities(7)), and those that start later inherit them.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use rustix::process::{getegid, geteuid, getgid, getuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid, set_thread_uid,
};
use rustix::thread::{Gid, Uid};

/// The user and group to become; none is to stay who one is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Privileges(Option<(Uid, Gid)>);

/// A key, what it says, and what is wrong with it.
pub(crate) type Mistake = (&'static str, String, &'static str);

impl Privileges {
    /// Finds user and group, each by its name or number. Without a group, it is that of the user.
    pub(crate) fn find(user: Option<&str>, group: Option<&str>) -> Result<Privileges, Mistake> {
        let Some(user) = user else {
            return match group {
                Some(group) => Err(("group", group.to_owned(), "the setting `user` is needed with it")),
                None => Ok(Privileges::default()),
            };
        };
        let (uid, own) = find_user(user).ok_or(("user", user.to_owned(), "there is no such user"))?;
        if uid == 0 {
            return Err(("user", user.to_owned(), "it is root, which is what is to be given up"));
        }
        let gid = match group {
            Some(name) => find_group(name).ok_or(("group", name.to_owned(), "there is no such group"))?,
            None => own.ok_or(("group", user.to_owned(), "the user has no entry, so its group is needed"))?,
        };
        Ok(Privileges(Some((Uid::from_raw(uid), Gid::from_raw(gid)))))
    }

    /// Becomes them for good, and sees to it that `state` is theirs.
    pub(crate) fn give_up_others(self, state: &Path) -> anyhow::Result<()> {
        let Some((uid, gid)) = self.0 else { return Ok(()) };
        let is_already = [getuid(), geteuid()] == [uid; 2] && [getgid(), getegid()] == [gid; 2];
        if !is_already {
            ensure!(
                geteuid().is_root(),
                "user: only root can become user {uid}; start as root, or as that user, or leave the setting out"
            );
            make_theirs(state, uid, gid)?;
            become_them(uid, gid)
                .with_context(|| format!("user: can not become user {uid} and group {gid}"))?;
        }
        check_theirs(state, uid)
    }
}

/// The change itself. Groups first: without root they could not be left any more.
fn become_them(uid: Uid, gid: Gid) -> anyhow::Result<()> {
    let threads = fs::read_dir("/proc/self/task").context("/proc is needed to count threads")?.count();
    ensure!(threads == 1, "defect: {threads} threads run before root is given up");
    set_thread_groups(&[gid]).context("leave the groups of root")?;
    set_thread_res_gid(gid, gid, gid).context("change the group")?;
    set_thread_res_uid(uid, uid, uid).context("change the user")?;
    // Root's capabilities went with it, unless somebody asked the kernel to keep them (capabilities(7)).
    clear_ambient_capability_set().context("drop ambient capabilities")?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        .context("drop capabilities")?;
    set_no_new_privs(true).context("refuse new privileges")?;
    let left = capabilities(None).context("look at the capabilities")?;
    ensure!(left.effective.is_empty() && left.permitted.is_empty(), "capabilities are left");
    ensure!(set_thread_uid(Uid::ROOT).is_err(), "the way back to root is open");
    Ok(())
}

/// Makes the folder of all state for them, while that can be done; one that is there keeps its owner.
fn make_theirs(state: &Path, uid: Uid, gid: Gid) -> anyhow::Result<()> {
    if state.exists() {
        return Ok(());
    }
    let explain = || format!("store.path: can not make the folder {}", state.display());
    DirBuilder::new().recursive(true).mode(0o700).create(state).with_context(explain)?;
    chown(state, Some(uid.as_raw()), Some(gid.as_raw())).with_context(explain)
}

/// The folder and what is in it must be theirs: found out now, not when the first message can not be written.
fn check_theirs(state: &Path, uid: Uid) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(state) else {
        bail!(
            "store.path: user {uid} can not read the folder {}; `chown -R {uid} {}`, and let it enter those above",
            state.display(),
            state.display()
        );
    };
    let below = entries.filter_map(|entry| Some(entry.ok()?.path()));
    for path in std::iter::once(state.to_owned()).chain(below) {
        // One that went away meanwhile is nobody's any more.
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        ensure!(
            found.uid() == uid.as_raw(),
            "store.path: {} belongs to user {}, and the relay runs as user {uid}; `chown -R {uid} {}`",
            path.display(),
            found.uid(),
            state.display()
        );
    }
    Ok(())
}

/// A user's number, and the group of its entry when it has one.
fn find_user(name: &str) -> Option<(u32, Option<u32>)> {
    let entry = match name.parse() {
        Ok(number) => uzers::get_user_by_uid(number),
        Err(_) => uzers::get_user_by_name(name),
    };
    match entry {
        Some(user) => Some((user.uid(), Some(user.primary_group_id()))),
        None => name.parse().ok().map(|number| (number, None)),
    }
}

fn find_group(name: &str) -> Option<u32> {
    name.parse().ok().or_else(|| uzers::get_group_by_name(name).map(|group| group.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        let them = |uid, gid| Privileges(Some((Uid::from_raw(uid), Gid::from_raw(gid))));
        assert_eq!(Privileges::find(Some("54321"), Some("12345")), Ok(them(54_321, 12_345)));
        assert_eq!(Privileges::find(Some("54321"), Some("root")), Ok(them(54_321, 0)));
        assert_eq!(Privileges::find(None, None), Ok(Privileges::default()));
        for (user, group, key) in [
            (Some("no-such-user"), None, "user"),
            (Some("54321"), Some("no-such-group"), "group"),
            (Some("54321"), None, "group"),
            (None, Some("root"), "group"),
            (Some("root"), None, "user"),
            (Some("0"), Some("0"), "user"),
            (Some(""), None, "user"),
        ] {
            assert_eq!(Privileges::find(user, group).unwrap_err().0, key, "{user:?} {group:?}");
        }
    }
}
