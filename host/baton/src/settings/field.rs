//! How a key of the settings is read, and how the reference describes it.
//!
//! `section!` makes a table of the file from one list of keys, each with its text, type and default, so that reading
//! and reference can not differ. All mistakes are collected: one bad key does not hide the next.

use std::path::PathBuf;

use super::problem::Problems;
use super::tree::{Node, Value};

/// Something that can stand behind a key.
pub(crate) trait Field: Sized {
    /// What is expected, as error messages and the reference name it.
    fn kind() -> String;

    /// Reads the node at `key`; on a mistake notes a problem and returns nothing.
    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Self>;

    /// The value as it would stand in the file; nothing when it is unset.
    fn show(&self) -> Option<String>;

    /// Notes the keys in which `other` differs.
    fn differ(&self, other: &Self, key: &str, keys: &mut Vec<String>);

    /// The keys below it.
    fn members() -> Vec<Described> {
        Vec::new()
    }
}

/// One key as the reference shows it.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) kind: String,
    pub(crate) default: Option<String>,
    pub(crate) members: Vec<Described>,
}

/// Tables with names that the operator chooses, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Named<T>(pub(crate) Vec<(String, T)>);

/// Anything: a plugin's own config.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Anything(pub(crate) Option<serde_json::Value>);

/// The members of a table, taken one by one.
pub(crate) struct Members<'a> {
    key: &'a str,
    rest: Vec<&'a (String, Node)>,
    known: Vec<&'static str>,
}

impl<'a> Members<'a> {
    pub(crate) fn of(node: &'a Node, key: &'a str, problems: &mut Problems) -> Option<Members<'a>> {
        match &node.value {
            Value::Table(members) => Some(Members { key, rest: members.iter().collect(), known: Vec::new() }),
            _ => {
                wrong_kind(node, key, "a table", problems);
                None
            }
        }
    }

    pub(crate) fn take<T: Field>(&mut self, name: &'static str, problems: &mut Problems) -> Option<T> {
        self.known.push(name);
        let at = self.rest.iter().position(|(found, _)| found == name)?;
        let (_, node) = self.rest.remove(at);
        T::read(node, &join(self.key, name), problems)
    }

    /// Every key that nobody took is unknown.
    pub(crate) fn finish(self, problems: &mut Problems) {
        for (name, _) in self.rest {
            let place =
                if self.key.is_empty() { "the top level".to_owned() } else { format!("[{}]", self.key) };
            let remedy = format!("remove or correct it; {place} knows {}", self.known.join(", "));
            problems.push(&join(self.key, name), None, "there is no such key", remedy);
        }
    }
}

/// As [`Field::differ`], for values without keys of their own.
fn differ_whole<T: PartialEq>(one: &T, other: &T, key: &str, keys: &mut Vec<String>) {
    if one != other {
        keys.push(key.to_owned());
    }
}

macro_rules! whole {
    () => {
        fn differ(&self, other: &Self, key: &str, keys: &mut Vec<String>) {
            differ_whole(self, other, key, keys);
        }
    };
}

/// The key path of a member.
pub(crate) fn join(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

fn wrong_kind(node: &Node, key: &str, expected: &str, problems: &mut Problems) {
    let value = match &node.value {
        Value::Table(_) | Value::List(_) => None,
        other => show_value(other),
    };
    problems.push(
        key,
        value,
        format!("expected {expected}, found {}", node.kind()),
        format!("write {expected}"),
    );
}

fn show_value(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) | Value::Time(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::List(_) | Value::Table(_) => None,
    }
}

impl Field for String {
    fn kind() -> String {
        "text".to_owned()
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<String> {
        let Value::Text(text) = &node.value else {
            wrong_kind(node, key, "text in quotes", problems);
            return None;
        };
        Some(text.clone())
    }

    whole!();

    fn show(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }
}

impl Field for PathBuf {
    fn kind() -> String {
        "path".to_owned()
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<PathBuf> {
        String::read(node, key, problems).map(PathBuf::from)
    }

    whole!();

    fn show(&self) -> Option<String> {
        Some(format!("{:?}", self.display().to_string()))
    }
}

impl Field for bool {
    fn kind() -> String {
        "true or false".to_owned()
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<bool> {
        let Value::Bool(flag) = node.value else {
            wrong_kind(node, key, "true or false", problems);
            return None;
        };
        Some(flag)
    }

    whole!();

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Field for f64 {
    fn kind() -> String {
        "number".to_owned()
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<f64> {
        match node.value {
            Value::Float(number) if number.is_finite() => Some(number),
            Value::Integer(number) => Some(number as f64),
            _ => {
                wrong_kind(node, key, "a number", problems);
                None
            }
        }
    }

    whole!();

    fn show(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }
}

macro_rules! whole_number {
    ($($type:ty),*) => { $(
        impl Field for $type {
            fn kind() -> String {
                "whole number".to_owned()
            }

            fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<$type> {
                let Value::Integer(number) = node.value else {
                    wrong_kind(node, key, "a whole number", problems);
                    return None;
                };
                let read = <$type>::try_from(number).ok();
                if read.is_none() {
                    let remedy = format!("write a number from 0 to {}", <$type>::MAX.min(i64::MAX as $type));
                    problems.push(key, Some(number.to_string()), "out of range", remedy);
                }
                read
            }

            whole!();

            fn show(&self) -> Option<String> {
                Some(grouped(*self as u64))
            }
        }
    )* };
}

whole_number!(u32, u64, usize);

impl Field for u16 {
    fn kind() -> String {
        "whole number".to_owned()
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<u16> {
        let number = u32::read(node, key, problems)?;
        let read = u16::try_from(number).ok();
        if read.is_none() {
            problems.push(key, Some(number.to_string()), "out of range", "write a number from 0 to 65535");
        }
        read
    }

    whole!();

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// Digits in groups of three, as TOML allows.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && digits.len() > 4 {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

impl<T: Field + PartialEq> Field for Option<T> {
    fn kind() -> String {
        T::kind()
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Option<T>> {
        T::read(node, key, problems).map(Some)
    }

    whole!();

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }

    fn members() -> Vec<Described> {
        T::members()
    }
}

impl<T: Field + PartialEq> Field for Vec<T> {
    fn kind() -> String {
        format!("list of {}", T::kind())
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Vec<T>> {
        let Value::List(nodes) = &node.value else {
            wrong_kind(node, key, "a list", problems);
            return None;
        };
        let read = |(index, node): (usize, &Node)| T::read(node, &format!("{key}[{index}]"), problems);
        Some(nodes.iter().enumerate().filter_map(read).collect())
    }

    whole!();

    fn show(&self) -> Option<String> {
        Some(format!("[{}]", self.iter().filter_map(T::show).collect::<Vec<_>>().join(", ")))
    }

    fn members() -> Vec<Described> {
        T::members()
    }
}

impl<T: Field> Field for Named<T> {
    fn kind() -> String {
        format!("tables by name, each {}", T::kind())
    }

    fn read(node: &Node, key: &str, problems: &mut Problems) -> Option<Named<T>> {
        let Value::Table(members) = &node.value else {
            wrong_kind(node, key, "a table", problems);
            return None;
        };
        let mut named = Vec::with_capacity(members.len());
        for (name, node) in members {
            if let Some(value) = T::read(node, &join(key, name), problems) {
                named.push((name.clone(), value));
            }
        }
        Some(Named(named))
    }

    fn differ(&self, other: &Named<T>, key: &str, keys: &mut Vec<String>) {
        let find = |all: &'_ [(String, T)], name: &str| all.iter().position(|(found, _)| found == name);
        for (name, value) in &self.0 {
            match find(&other.0, name).and_then(|at| other.0.get(at)) {
                Some((_, changed)) => value.differ(changed, &join(key, name), keys),
                None => keys.push(join(key, name)),
            }
        }
        let added = other.0.iter().filter(|(name, _)| find(&self.0, name).is_none());
        keys.extend(added.map(|(name, _)| join(key, name)));
    }

    fn show(&self) -> Option<String> {
        None
    }

    fn members() -> Vec<Described> {
        T::members()
    }
}

impl Field for Anything {
    fn kind() -> String {
        "anything".to_owned()
    }

    fn read(node: &Node, _key: &str, _problems: &mut Problems) -> Option<Anything> {
        Some(Anything(Some(node.to_json())))
    }

    whole!();

    fn show(&self) -> Option<String> {
        None
    }
}

/// Makes a table of the settings from a list of its keys.
macro_rules! section {
    ($(#[doc = $about:expr])* $name:ident { $($(#[doc = $doc:expr])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct $name { $($(#[doc = $doc])* pub(crate) $field: $type,)* }

        impl Default for $name {
            fn default() -> $name {
                $name { $($field: $default,)* }
            }
        }

        impl $crate::settings::field::Field for $name {
            fn kind() -> String {
                "table".to_owned()
            }

            fn read(
                node: &$crate::settings::tree::Node,
                key: &str,
                problems: &mut $crate::settings::problem::Problems,
            ) -> Option<$name> {
                let mut members = $crate::settings::field::Members::of(node, key, problems)?;
                let mut section = $name::default();
                $(if let Some(value) = members.take(stringify!($field), problems) {
                    section.$field = value;
                })*
                members.finish(problems);
                Some(section)
            }

            fn show(&self) -> Option<String> {
                None
            }

            fn differ(&self, other: &$name, key: &str, keys: &mut Vec<String>) {
                use $crate::settings::field::join;
                $(self.$field.differ(&other.$field, &join(key, stringify!($field)), keys);)*
            }

            fn members() -> Vec<$crate::settings::field::Described> {
                use $crate::settings::field::{Described, Field};
                let default = $name::default();
                vec![$(Described {
                    name: stringify!($field).to_owned(),
                    about: [$($doc),*].map(str::trim).join(" "),
                    kind: <$type as Field>::kind(),
                    default: default.$field.show(),
                    members: <$type as Field>::members(),
                },)*]
            }
        }
    };
}
pub(crate) use section;
