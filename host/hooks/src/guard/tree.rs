//! A checked expression, and its value for one message.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::IpNet;
use regex_lite::Regex;

use super::facts::{Facts, Variable};

/// An expression whose names and types are right.
#[derive(Debug)]
pub(super) enum Tree {
    Constant(Value<'static>),
    Variable(Variable),
    Header(String),
    Tag(String),
    Not(Box<Tree>),
    And(Box<Tree>, Box<Tree>),
    Or(Box<Tree>, Box<Tree>),
    Choose(Box<Tree>, Box<Tree>, Box<Tree>),
    /// Equal, or not equal.
    Equal(Box<Tree>, Box<Tree>, bool),
    Order(Box<Tree>, Box<Tree>, Comparison),
    Among(Box<Tree>, Vec<Value<'static>>),
    Within(Box<Tree>, Vec<IpNet>),
    Text(TextTest, Box<Tree>, Box<Tree>),
    Matches(Box<Tree>, Regex),
    Size(Box<Tree>),
    Lower(Box<Tree>),
    Arithmetic(Box<Tree>, Box<Tree>, Operation),
    Negative(Box<Tree>),
}

/// A comparison of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// An operation on numbers (the sum on texts too).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A question about two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
}

/// A value. Text is borrowed from the message wherever it stands there as it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    /// None for messages that the relay made itself.
    Ip(Option<IpAddr>),
}

/// An expression without a value for this message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoValue {
    #[error("a number goes beyond 64 bits")]
    Overflow,
    #[error("division by zero")]
    DivisionByZero,
    /// The check at load does not let this happen.
    #[error("a value has another type than it was checked for")]
    Type,
}

impl Tree {
    /// The value of a condition.
    pub(super) fn is_true(&self, facts: &Facts<'_>) -> Result<bool, NoValue> {
        match self {
            Tree::Not(inner) => Ok(!inner.is_true(facts)?),
            Tree::And(left, right) => decide(false, left, right, facts),
            Tree::Or(left, right) => decide(true, left, right, facts),
            Tree::Equal(left, right, wanted) => {
                Ok(equal(&left.value(facts)?, &right.value(facts)?) == *wanted)
            }
            Tree::Order(left, right, comparison) => {
                let order = order(&left.value(facts)?, &right.value(facts)?)?;
                Ok(order.is_some_and(|order| comparison.holds(order)))
            }
            Tree::Among(item, list) => {
                let item = item.value(facts)?;
                Ok(list.iter().any(|one| equal(one, &item)))
            }
            Tree::Within(item, networks) => {
                match item.value(facts)? {
                    Value::Ip(address) => Ok(address
                        .is_some_and(|address| networks.iter().any(|network| network.contains(&address)))),
                    _ => Err(NoValue::Type),
                }
            }
            Tree::Text(test, text, part) => {
                let (text, part) = (text.text(facts)?, part.text(facts)?);
                Ok(match test {
                    TextTest::Contains => text.contains(&*part),
                    TextTest::StartsWith => text.starts_with(&*part),
                    TextTest::EndsWith => text.ends_with(&*part),
                })
            }
            Tree::Matches(text, pattern) => Ok(pattern.is_match(&text.text(facts)?)),
            _ => match self.value(facts)? {
                Value::Bool(value) => Ok(value),
                _ => Err(NoValue::Type),
            },
        }
    }

    fn value<'a>(&'a self, facts: &Facts<'a>) -> Result<Value<'a>, NoValue> {
        match self {
            Tree::Constant(value) => Ok(value.clone()),
            Tree::Variable(variable) => Ok(facts.value(*variable)),
            Tree::Header(name) => Ok(Value::Text(facts.header(name).into())),
            Tree::Tag(name) => Ok(Value::Text(facts.tag(name).into())),
            Tree::Choose(condition, yes, no) => {
                if condition.is_true(facts)? {
                    yes.value(facts)
                } else {
                    no.value(facts)
                }
            }
            Tree::Size(text) => Ok(Value::Int(text.text(facts)?.chars().count() as i64)),
            Tree::Lower(text) => Ok(Value::Text(text.text(facts)?.to_ascii_lowercase().into())),
            Tree::Arithmetic(left, right, operation) => {
                operation.apply(left.value(facts)?, right.value(facts)?)
            }
            Tree::Negative(number) => match number.value(facts)? {
                Value::Int(number) => number.checked_neg().map(Value::Int).ok_or(NoValue::Overflow),
                Value::Double(number) => Ok(Value::Double(-number)),
                _ => Err(NoValue::Type),
            },
            _ => self.is_true(facts).map(Value::Bool),
        }
    }

    fn text<'a>(&'a self, facts: &Facts<'a>) -> Result<Cow<'a, str>, NoValue> {
        match self.value(facts)? {
            Value::Text(text) => Ok(text),
            _ => Err(NoValue::Type),
        }
    }
}

/// `&&` and `||`: one side that decides is enough, even when the other has no value (as CEL has it).
fn decide(deciding: bool, left: &Tree, right: &Tree, facts: &Facts<'_>) -> Result<bool, NoValue> {
    match left.is_true(facts) {
        Ok(value) if value == deciding => Ok(deciding),
        Ok(_) => right.is_true(facts),
        Err(error) => match right.is_true(facts) {
            Ok(value) if value == deciding => Ok(deciding),
            _ => Err(error),
        },
    }
}

fn equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    match (left, right) {
        (Value::Int(_) | Value::Double(_), Value::Int(_) | Value::Double(_)) => {
            matches!(order(left, right), Ok(Some(Ordering::Equal)))
        }
        _ => left == right,
    }
}

fn order(left: &Value<'_>, right: &Value<'_>) -> Result<Option<Ordering>, NoValue> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Ok(Some(left.cmp(right))),
        (Value::Double(left), Value::Double(right)) => Ok(left.partial_cmp(right)),
        (Value::Int(left), Value::Double(right)) => Ok((*left as f64).partial_cmp(right)),
        (Value::Double(left), Value::Int(right)) => Ok(left.partial_cmp(&(*right as f64))),
        (Value::Text(left), Value::Text(right)) => Ok(Some(left.cmp(right))),
        (Value::Bool(left), Value::Bool(right)) => Ok(Some(left.cmp(right))),
        _ => Err(NoValue::Type),
    }
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Operation {
    fn apply<'a>(self, left: Value<'a>, right: Value<'a>) -> Result<Value<'a>, NoValue> {
        match (left, right) {
            (Value::Int(left), Value::Int(right)) => self.on_ints(left, right).map(Value::Int),
            (Value::Double(left), Value::Double(right)) => Ok(Value::Double(self.on_doubles(left, right))),
            (Value::Text(left), Value::Text(right)) if self == Operation::Add => {
                Ok(Value::Text(left + right))
            }
            _ => Err(NoValue::Type),
        }
    }

    fn on_ints(self, left: i64, right: i64) -> Result<i64, NoValue> {
        let divides = matches!(self, Operation::Divide | Operation::Remainder);
        if divides && right == 0 {
            return Err(NoValue::DivisionByZero);
        }
        let result = match self {
            Operation::Add => left.checked_add(right),
            Operation::Subtract => left.checked_sub(right),
            Operation::Multiply => left.checked_mul(right),
            Operation::Divide => left.checked_div(right),
            Operation::Remainder => left.checked_rem(right),
        };
        result.ok_or(NoValue::Overflow)
    }

    fn on_doubles(self, left: f64, right: f64) -> f64 {
        match self {
            Operation::Add => left + right,
            Operation::Subtract => left - right,
            Operation::Multiply => left * right,
            Operation::Divide => left / right,
            Operation::Remainder => left % right,
        }
    }
}
