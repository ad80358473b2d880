//! The settings file as a tree whose tables keep the order of the file and whose values know their line.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Problems};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// The line, from 1.
    pub(crate) line: usize,
    /// What stands there.
    pub(crate) value: Value,
}

/// What TOML knows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Time(String),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
}

impl Node {
    /// The kind of the value, as error messages name it.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Bool(_) => "true or false",
            Value::Time(_) => "a time",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// The value as a plugin's config sees it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Text(text) | Value::Time(text) => text.as_str().into(),
            Value::Integer(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Bool(flag) => (*flag).into(),
            Value::List(nodes) => nodes.iter().map(Node::to_json).collect(),
            Value::Table(members) => {
                members.iter().map(|(name, node)| (name.clone(), node.to_json())).collect()
            }
        }
    }

    /// Where the key path `path` stands, or the nearest table above it.
    pub(crate) fn line_of(&self, path: &str) -> usize {
        let Value::Table(members) = &self.value else { return self.line };
        let below = members.iter().find_map(|(name, node)| {
            let rest = path.strip_prefix(name.as_str())?;
            if rest.is_empty() {
                Some(node.line)
            } else {
                rest.strip_prefix(['.', '[']).map(|rest| node.line_of(rest))
            }
        });
        below.unwrap_or(self.line)
    }
}

/// Reads TOML text; every mistake in its grammar becomes a problem with its line.
pub(crate) fn parse(text: &str) -> Result<Node, Problems> {
    let lines = LineIndex::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(Node { line: 1, value: read_table(table.get_ref(), &lines) });
    }
    let problem = |error: &toml::de::Error| {
        let line = error.span().map(|span| lines.line(span.start));
        let remedy = "mend the TOML: a key, `=`, a value; text stands in quotes";
        Problem { line, ..Problem::new("", None, error.message().trim(), remedy) }
    };
    Err(errors.iter().map(problem).collect())
}

fn read_table(table: &DeTable<'_>, lines: &LineIndex) -> Value {
    let mut members: Vec<_> = table.iter().collect();
    members.sort_by_key(|(key, _)| key.span().start);
    let node = |(key, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        (
            key.get_ref().to_string(),
            Node { line: lines.line(key.span().start), value: read_value(value.get_ref(), lines) },
        )
    };
    Value::Table(members.into_iter().map(node).collect())
}

fn read_value(value: &DeValue<'_>, lines: &LineIndex) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(time) => Value::Time(time.to_string()),
        DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
            Ok(number) => Value::Integer(number),
            // Beyond 64 bits: kept as a number, so that the range check of its field names the key.
            Err(_) => Value::Float(f64::INFINITY),
        },
        DeValue::Float(digits) => Value::Float(digits.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Array(values) => {
            let node = |value: &Spanned<DeValue<'_>>| Node {
                line: lines.line(value.span().start),
                value: read_value(value.get_ref(), lines),
            };
            Value::List(values.iter().map(node).collect())
        }
        DeValue::Table(table) => read_table(table, lines),
    }
}

/// Where each line of a text begins.
struct LineIndex(Vec<usize>);

impl LineIndex {
    fn new(text: &str) -> LineIndex {
        LineIndex(line_ends(text).collect())
    }

    /// The line of an offset, from 1.
    fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

fn line_ends(text: &str) -> impl Iterator<Item = usize> + '_ {
    text.bytes().enumerate().filter(|(_, octet)| *octet == b'\n').map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_keep_their_order_and_values_their_line() {
        let tree = parse("z = 1\n[plugins.b]\nx = 'a'\n[plugins.a]\ny = [1,\n 2]\n").unwrap();
        let Value::Table(members) = &tree.value else { panic!("a table") };
        let Value::Table(plugins) = &members[1].1.value else { panic!("a table") };
        assert_eq!(plugins.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(
            (tree.line_of("z"), tree.line_of("plugins.b.x"), tree.line_of("plugins.a.y[1]")),
            (1, 3, 5)
        );
        assert_eq!(tree.line_of("plugins.a.absent"), 4);
    }

    #[test]
    fn grammar_errors_have_a_line() {
        let problems = parse("a = 1\nb = \nc = 2\n").unwrap_err();
        assert_eq!(problems.iter().next().unwrap().line, Some(2));
    }

    #[test]
    fn plugin_config_becomes_json() {
        let tree = parse("a = 1\nb = ['x', true]\n[c]\nd = 1.5\n").unwrap();
        assert_eq!(tree.to_json(), serde_json::json!({"a": 1, "b": ["x", true], "c": {"d": 1.5}}));
    }
}
