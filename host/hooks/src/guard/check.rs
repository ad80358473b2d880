//! From the text of a guard to a checked tree: syntax by the `cel` crate, names and types against what the hook knows.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::parser::Parser;
use ipnet::IpNet;
use regex_lite::Regex;

use super::facts::{Known, NAMES, Type};
use super::tree::{Comparison, Operation, TextTest, Tree, Value};
use crate::Hook;

/// How deep an expression may be nested.
const DEPTH_MAX: u16 = 48;

type Checked = Result<(Tree, Type), String>;

/// Reads and checks an expression.
pub(super) fn check(source: &str, hook: Hook) -> Result<Tree, String> {
    let parsed = Parser::new().max_recursion_depth(DEPTH_MAX).parse(source);
    let expression = parsed.map_err(|errors| {
        let first = errors.errors.first();
        let (column, message) =
            first.map_or((0, "it can not be read"), |error| (error.pos.1, error.msg.as_str()));
        format!("is not a CEL expression: column {column}: {message}")
    })?;
    let checker = Checker { hook };
    match checker.check(&expression)? {
        (tree, Type::Bool) => Ok(tree),
        (_, other) => Err(format!(
            "is of type {}, and must be true or false; compare it with something",
            other.as_str()
        )),
    }
}

struct Checker {
    hook: Hook,
}

impl Checker {
    fn check(&self, expression: &IdedExpr) -> Checked {
        match &expression.expr {
            Expr::Literal(literal) => constant(literal).map(|(value, kind)| (Tree::Constant(value), kind)),
            Expr::Ident(_) | Expr::Select(_) => self.variable(expression),
            Expr::Call(call) => self.call(call),
            Expr::List(_) => Err("has a list where none is expected; write `x in [..]`".to_owned()),
            _ => Err("uses a part of CEL that guards do not have (maps, structures, macros)".to_owned()),
        }
    }

    fn variable(&self, expression: &IdedExpr) -> Checked {
        let name = qualified_name(&expression.expr).ok_or("selects a field of something that has none")?;
        let found = NAMES.into_iter().find(|(known, ..)| *known == name);
        let Some((_, variable, known, kind)) = found else {
            let names: Vec<&str> =
                NAMES.iter().filter(|(_, _, known, _)| known.at(self.hook)).map(|(name, ..)| *name).collect();
            return Err(format!(
                "`{name}` is not known; at the {} hook there are {}",
                self.hook,
                names.join(", ")
            ));
        };
        self.check_known(&name, known)?;
        Ok((Tree::Variable(variable), kind))
    }

    fn check_known(&self, name: &str, known: Known) -> Result<(), String> {
        if known.at(self.hook) {
            return Ok(());
        }
        let hooks: Vec<&str> =
            Hook::ALL.into_iter().filter(|hook| known.at(*hook)).map(Hook::as_str).collect();
        Err(format!(
            "`{name}` is not known at the {} hook, only at {}; write a guard for each hook: [plugins.NAME.when]",
            self.hook,
            hooks.join(", ")
        ))
    }

    fn call(&self, call: &CallExpr) -> Checked {
        let CallExpr { func_name, target, args } = call;
        match (func_name.as_str(), target.as_deref(), args.as_slice()) {
            (operators::LOGICAL_NOT, None, [inner]) => {
                Ok((Tree::Not(self.of_type(inner, Type::Bool, "`!`")?), Type::Bool))
            }
            (operators::LOGICAL_AND, None, [left, right]) => self.logical(left, right, "`&&`", Tree::And),
            (operators::LOGICAL_OR, None, [left, right]) => self.logical(left, right, "`||`", Tree::Or),
            (operators::CONDITIONAL, None, [condition, yes, no]) => self.choose(condition, yes, no),
            (operators::EQUALS, None, [left, right]) => self.equal(left, right, true),
            (operators::NOT_EQUALS, None, [left, right]) => self.equal(left, right, false),
            (operators::IN, None, [item, list]) => self.within(item, list),
            (operators::NEGATE, None, [number]) => match self.check(number)? {
                (tree, kind @ (Type::Int | Type::Double)) => Ok((Tree::Negative(Box::new(tree)), kind)),
                (_, kind) => Err(format!("negates a {}", kind.as_str())),
            },
            (name, None, [left, right]) if comparison(name).is_some() || operation(name).is_some() => {
                self.numeric(name, left, right)
            }
            (name, target, args) => self.function(name, target, args),
        }
    }

    fn function(&self, name: &str, target: Option<&IdedExpr>, args: &[IdedExpr]) -> Checked {
        match (name, target, args) {
            ("header", None, [name]) => {
                self.check_known("header(..)", Known::Content)?;
                Ok((Tree::Header(text_literal(name, "header")?), Type::Text))
            }
            ("tag", None, [name]) => {
                self.check_known("tag(..)", Known::Transaction)?;
                Ok((Tree::Tag(text_literal(name, "tag")?), Type::Text))
            }
            ("size", Some(text), []) | ("size", None, [text]) => {
                Ok((Tree::Size(self.of_type(text, Type::Text, "size()")?), Type::Int))
            }
            ("lowerAscii", Some(text), []) => {
                Ok((Tree::Lower(self.of_type(text, Type::Text, "lowerAscii()")?), Type::Text))
            }
            ("matches", Some(text), [pattern]) | ("matches", None, [text, pattern]) => {
                let pattern = text_literal(pattern, "matches")?;
                let pattern = Regex::new(&pattern).map_err(|error| format!("matches: {error}"))?;
                Ok((Tree::Matches(self.of_type(text, Type::Text, "matches()")?, pattern), Type::Bool))
            }
            ("contains" | "startsWith" | "endsWith", Some(text), [part]) => {
                let test = match name {
                    "contains" => TextTest::Contains,
                    "startsWith" => TextTest::StartsWith,
                    _ => TextTest::EndsWith,
                };
                let text = self.of_type(text, Type::Text, name)?;
                Ok((Tree::Text(test, text, self.of_type(part, Type::Text, name)?), Type::Bool))
            }
            _ => Err(format!("`{name}` is not a function with these arguments; {FUNCTIONS}")),
        }
    }

    fn of_type(&self, expression: &IdedExpr, wanted: Type, by: &str) -> Result<Box<Tree>, String> {
        let (tree, kind) = self.check(expression)?;
        if kind != wanted {
            return Err(format!("{by} needs a {}, not a {}", wanted.as_str(), kind.as_str()));
        }
        Ok(Box::new(tree))
    }

    fn logical(
        &self,
        left: &IdedExpr,
        right: &IdedExpr,
        by: &str,
        make: fn(Box<Tree>, Box<Tree>) -> Tree,
    ) -> Checked {
        Ok((make(self.of_type(left, Type::Bool, by)?, self.of_type(right, Type::Bool, by)?), Type::Bool))
    }

    fn choose(&self, condition: &IdedExpr, yes: &IdedExpr, no: &IdedExpr) -> Checked {
        let condition = self.of_type(condition, Type::Bool, "`? :`")?;
        let (yes, kind) = self.check(yes)?;
        let no = self.of_type(no, kind, "`? :`")?;
        Ok((Tree::Choose(condition, Box::new(yes), no), kind))
    }

    fn equal(&self, left: &IdedExpr, right: &IdedExpr, wanted: bool) -> Checked {
        let ((left, one), (right, other)) = (self.check(left)?, self.check(right)?);
        let (left, right) = match (one, other) {
            (Type::Ip, Type::Text) => (left, as_address(right)?),
            (Type::Text, Type::Ip) => (as_address(left)?, right),
            (Type::Int | Type::Double, Type::Int | Type::Double) => (left, right),
            (one, other) if one == other => (left, right),
            (one, other) => {
                return Err(format!("compares a {} with a {}", one.as_str(), other.as_str()));
            }
        };
        Ok((Tree::Equal(Box::new(left), Box::new(right), wanted), Type::Bool))
    }

    fn within(&self, item: &IdedExpr, list: &IdedExpr) -> Checked {
        let (item, kind) = self.check(item)?;
        let item = Box::new(item);
        match &list.expr {
            Expr::Call(call) if call.func_name == "cidr" && call.target.is_none() => {
                if kind != Type::Ip {
                    return Err(format!("`in cidr(..)` needs an address, not a {}", kind.as_str()));
                }
                let networks = call.args.iter().map(network).collect::<Result<Vec<_>, _>>()?;
                Ok((Tree::Within(item, networks), Type::Bool))
            }
            Expr::List(list) => {
                let values = list.elements.iter().map(|element| element_of(element, kind));
                Ok((Tree::Among(item, values.collect::<Result<Vec<_>, _>>()?), Type::Bool))
            }
            _ => Err("`in` needs a list of constants, or cidr(\"192.0.2.0/24\", ..)".to_owned()),
        }
    }

    fn numeric(&self, name: &str, left: &IdedExpr, right: &IdedExpr) -> Checked {
        let ((left, one), (right, other)) = (self.check(left)?, self.check(right)?);
        let are_numbers = matches!((one, other), (Type::Int | Type::Double, Type::Int | Type::Double));
        let (boxed_left, boxed_right) = (Box::new(left), Box::new(right));
        let mismatch = || {
            Err(format!(
                "`{}` does not go with a {} and a {}",
                name.trim_matches('_'),
                one.as_str(),
                other.as_str()
            ))
        };
        if let Some(comparison) = comparison(name) {
            let fits = are_numbers || (one == other && matches!(one, Type::Text | Type::Bool));
            return if fits {
                Ok((Tree::Order(boxed_left, boxed_right, comparison), Type::Bool))
            } else {
                mismatch()
            };
        }
        let Some(operation) = operation(name) else { return mismatch() };
        let fits = one == other && (are_numbers || (one == Type::Text && operation == Operation::Add));
        if fits { Ok((Tree::Arithmetic(boxed_left, boxed_right, operation), one)) } else { mismatch() }
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        operators::ADD => Operation::Add,
        operators::SUBSTRACT => Operation::Subtract,
        operators::MULTIPLY => Operation::Multiply,
        operators::DIVIDE => Operation::Divide,
        operators::MODULO => Operation::Remainder,
        _ => return None,
    })
}

fn constant(literal: &LiteralValue) -> Result<(Value<'static>, Type), String> {
    Ok(match literal {
        LiteralValue::Boolean(value) => (Value::Bool(*value.inner()), Type::Bool),
        LiteralValue::Int(value) => (Value::Int(*value.inner()), Type::Int),
        LiteralValue::UInt(value) => {
            let value = i64::try_from(*value.inner()).map_err(|_| "has a number beyond 64 bits")?;
            (Value::Int(value), Type::Int)
        }
        LiteralValue::Double(value) => (Value::Double(*value.inner()), Type::Double),
        LiteralValue::String(value) => (Value::Text(value.inner().to_owned().into()), Type::Text),
        LiteralValue::Bytes(_) | LiteralValue::Null => {
            return Err("has bytes or null; what there is not is the empty text or zero".to_owned());
        }
    })
}

/// A constant of a list that is compared with something of that type.
fn element_of(element: &IdedExpr, wanted: Type) -> Result<Value<'static>, String> {
    let Expr::Literal(literal) = &element.expr else {
        return Err("has a list with more in it than constants".to_owned());
    };
    let (value, kind) = constant(literal)?;
    match (value, wanted) {
        (Value::Text(text), Type::Ip) => address(&text),
        (value, _) if kind == wanted => Ok(value),
        _ => Err(format!("looks for a {} in a list with a {}", wanted.as_str(), kind.as_str())),
    }
}

fn as_address(tree: Tree) -> Result<Tree, String> {
    match tree {
        Tree::Constant(Value::Text(text)) => address(&text).map(Tree::Constant),
        _ => Err("compares an address with a string that is not a constant".to_owned()),
    }
}

fn address(text: &str) -> Result<Value<'static>, String> {
    let address: std::net::IpAddr = text.parse().map_err(|_| format!("`{text}` is not an IP address"))?;
    Ok(Value::Ip(Some(address)))
}

fn network(argument: &IdedExpr) -> Result<IpNet, String> {
    let text = text_literal(argument, "cidr")?;
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    parsed.map_err(|_| format!("cidr: `{text}` is not a network; write it as 192.0.2.0/24"))
}

fn text_literal(argument: &IdedExpr, function: &str) -> Result<String, String> {
    match &argument.expr {
        Expr::Literal(LiteralValue::String(text)) => Ok(text.inner().to_owned()),
        _ => Err(format!("{function}(..) needs a string constant")),
    }
}

/// `a.b.c`, when the expression is a chain of names.
fn qualified_name(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", qualified_name(&select.operand.expr)?, select.field))
        }
        _ => None,
    }
}

const FUNCTIONS: &str = "there are header(\"Name\"), tag(\"name\"), size(s), s.contains(t), s.startsWith(t), \
    s.endsWith(t), s.matches(\"regex\"), s.lowerAscii(), and `address in cidr(..)`";
