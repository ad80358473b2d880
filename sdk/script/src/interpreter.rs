//! One QuickJS with one script in it.

use std::cell::{Cell, OnceCell};

use rquickjs::context::EvalOptions;
use rquickjs::promise::PromiseState;
use rquickjs::{Array, CaughtError, Context, Ctx, Function, Module, Object, Persistent, Runtime, Value};

use crate::baton::host::config;
use crate::baton::policy::failure::{Kind, raise};
use crate::baton::relay::types::{Address, Param};
use crate::exports::baton::relay::events_hook::Event;
use crate::fault::{Fault, PRELUDE};
use crate::{Misplaced, bridge};

/// Functions of a script and the hooks that they are.
const HOOKS: [(&str, &str); 7] = [
    ("onConnect", "connect"),
    ("onAuth", "auth"),
    ("onRcpt", "rcpt"),
    ("onData", "data"),
    ("onRoute", "route"),
    ("onBounce", "bounce"),
    ("onEvents", "events"),
];
/// The key of the config under which the relay puts the script: `file`, `source`, and the operator's own `config`.
const SCRIPT_KEY: &str = "baton:script";
/// Octets of the stack in linear memory that a script may use. The host gives 256 KiB of native stack, of which deep
/// recursion takes several times as much (`stack.h` sees to it that it is not many times); so recursion ends in an error
/// that has a line, not in a trap.
const STACK_OCTETS_MAX: usize = 48 << 10;
/// Memory that a call may use before cycles are looked for. A call in a fresh instance hardly ever needs it.
const GARBAGE_OCTETS: usize = 4 << 20;

/// A script that was evaluated.
pub(crate) struct Interpreter {
    context: Context,
    file: String,
    entries: Vec<Entry>,
}

struct Entry {
    function: &'static str,
    hook: &'static str,
    call: Persistent<Function<'static>>,
}

/// What a hook is told.
pub(crate) enum Given {
    Nothing,
    Credential { mechanism: String, user: String, password: Option<String>, token: Option<String> },
    Recipient { rcpt: Address, params: Vec<Param> },
    Events(Vec<Event>),
}

/// What a hook answered, still in the script's words.
pub(crate) struct Told {
    pub(crate) kind: String,
    pub(crate) code: u16,
    pub(crate) enhanced: Option<(u8, u16, u16)>,
    pub(crate) text: String,
    pub(crate) ms: u64,
}

thread_local! {
    static PREPARED: Cell<Option<Prepared>> = const { Cell::new(None) };
}

/// QuickJS with the prelude, and no script yet.
struct Prepared {
    context: Context,
    hooks: Persistent<Object<'static>>,
}

impl Prepared {
    /// The one that was prepared, or a new one.
    fn new() -> rquickjs::Result<Prepared> {
        if let Some(prepared) = PREPARED.take() {
            return Ok(prepared);
        }
        let runtime = Runtime::new()?;
        runtime.set_max_stack_size(STACK_OCTETS_MAX);
        runtime.set_gc_threshold(usize::MAX);
        let context = Context::full(&runtime)?;
        let hooks = context.with(|ctx| {
            let mut options = EvalOptions::default();
            options.filename = Some(PRELUDE.to_owned());
            let prelude: Function = ctx.eval_with_options(include_str!("../prelude.js"), options)?;
            let hooks: Object = prelude.call((bridge::make(&ctx)?,))?;
            rquickjs::Result::Ok(Persistent::save(&ctx, hooks))
        })?;
        runtime.run_gc();
        Ok(Prepared { context, hooks })
    }
}

/// Does all that needs no script. A fault in the prelude is one of the build: it traps.
pub(crate) fn prepare() {
    PREPARED.set(Some(Prepared::new().expect("the prelude is evaluated")));
}

/// Works with the script, which is evaluated when it was not yet.
pub(crate) fn with<R>(work: impl FnOnce(Result<&Interpreter, Misplaced>) -> R) -> R {
    thread_local! {
        static LOADED: OnceCell<Result<Interpreter, Misplaced>> = const { OnceCell::new() };
    }
    LOADED.with(|loaded| work(loaded.get_or_init(Interpreter::load).as_ref().map_err(Clone::clone)))
}

/// Asks the script at that hook. Does not return when it has no decision.
pub(crate) fn ask<D>(function: &str, given: Given, decide: impl FnOnce(Told) -> Option<D>) -> D {
    with(|loaded| {
        let interpreter = loaded.unwrap_or_else(|problem| fail(Kind::Exception, &problem.message));
        let answered = interpreter.call(function, given);
        bridge::release();
        match answered {
            Ok(told) => decide(told)
                .unwrap_or_else(|| fail(Kind::BadDecision, "the prelude let a wrong decision pass")),
            Err(fault) => {
                let kind = if fault.is_bad_decision { Kind::BadDecision } else { Kind::Exception };
                fail(kind, &fault.told(&interpreter.file))
            }
        }
    })
}

/// Ends the call: the relay puts its own answer in the place of the decision.
fn fail(kind: Kind, words: &str) -> ! {
    raise(kind, words);
    std::process::abort()
}

impl Interpreter {
    /// The names of the hooks that the script defines.
    pub(crate) fn hooks(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.hook.to_owned()).collect()
    }

    fn load() -> Result<Interpreter, Misplaced> {
        let Prepared { context, hooks } = Prepared::new().map_err(|error| unexpected(&error))?;
        let (file, entries) = context.with(|ctx| {
            let mut file = String::new();
            let loaded = evaluate(&ctx, hooks, &mut file);
            loaded.map(|entries| (file, entries)).map_err(|failure| match failure {
                Failure::Script(problem) => problem,
                Failure::Interpreter(error) => thrown(&ctx, error).into_problem(),
            })
        })?;
        let runtime = context.runtime();
        runtime.run_gc();
        let used = usize::try_from(runtime.memory_usage().malloc_size).unwrap_or(0);
        runtime.set_gc_threshold(used.saturating_add(GARBAGE_OCTETS));
        Ok(Interpreter { context, file, entries })
    }

    fn call(&self, function: &str, given: Given) -> Result<Told, Fault> {
        self.context.with(|ctx| {
            let entry = self.entries.iter().find(|entry| entry.function == function);
            let told = match entry {
                Some(entry) => enter(&ctx, entry, given),
                None => return Err(missing(function)),
            };
            told.map_err(|error| thrown(&ctx, error))
        })
    }
}

fn missing(function: &str) -> Fault {
    Fault::without_place(format!("{function} is not defined by this script"))
}

fn enter<'js>(ctx: &Ctx<'js>, entry: &Entry, given: Given) -> rquickjs::Result<Told> {
    let call = entry.call.clone().restore(ctx)?;
    let decision: Value<'js> = match given {
        Given::Nothing => call.call(()),
        Given::Credential { mechanism, user, password, token } => {
            call.call((mechanism, user, password, token))
        }
        Given::Recipient { rcpt, params } if params.is_empty() => call.call((rcpt.local, rcpt.domain)),
        Given::Recipient { rcpt, params } => call.call((rcpt.local, rcpt.domain, bridge::pairs(params))),
        Given::Events(batch) => call.call((events(ctx, batch)?,)),
    }?;
    told(decision.as_object())
}

/// Reads a decision as the prelude makes it; nothing but the kind is there for most.
fn told(decision: Option<&Object<'_>>) -> rquickjs::Result<Told> {
    let mut told = Told { kind: String::new(), code: 0, enhanced: None, text: String::new(), ms: 0 };
    let Some(decision) = decision else { return Ok(told) };
    told.kind = decision.get("kind")?;
    if let Some(text) = decision.get::<_, Option<String>>("text")? {
        told.text = text;
        told.code = decision.get::<_, Option<u16>>("code")?.unwrap_or(0);
        let enhanced: Option<Vec<u16>> = decision.get("enhanced")?;
        if let Some([class, subject, detail]) = enhanced.as_deref() {
            told.enhanced = Some((u8::try_from(*class).unwrap_or(0), *subject, *detail));
        }
    }
    if told.kind == "retry" {
        told.ms = decision.get::<_, f64>("ms")? as u64;
    }
    Ok(told)
}

fn events<'js>(ctx: &Ctx<'js>, batch: Vec<Event>) -> rquickjs::Result<Array<'js>> {
    let list = Array::new(ctx.clone())?;
    for (index, event) in batch.into_iter().enumerate() {
        let object = Object::new(ctx.clone())?;
        object.set("at", event.unix_ms)?;
        object.set("kind", event.kind)?;
        object.set("session", event.session_id)?;
        object.set("message", event.message_id)?;
        let fields = Object::new(ctx.clone())?;
        for (name, value) in event.fields {
            fields.set(name, value)?;
        }
        object.set("fields", fields)?;
        list.set(index, object)?;
    }
    Ok(list)
}

/// Why a script does not load.
enum Failure {
    Script(Misplaced),
    Interpreter(rquickjs::Error),
}

impl From<rquickjs::Error> for Failure {
    fn from(error: rquickjs::Error) -> Failure {
        Failure::Interpreter(error)
    }
}

fn thrown(ctx: &Ctx<'_>, error: rquickjs::Error) -> Fault {
    match CaughtError::from_error(ctx, error) {
        CaughtError::Exception(exception) => Fault::of(exception.as_object().as_value()),
        CaughtError::Value(value) => Fault::of(&value),
        CaughtError::Error(error) => Fault::without_place(format!("the interpreter failed: {error}")),
    }
}

fn unexpected(error: &rquickjs::Error) -> Misplaced {
    problem(format!("the interpreter does not start: {error}"))
}

fn problem(message: impl Into<String>) -> Misplaced {
    Misplaced { line: 0, column: 0, message: message.into(), setting: None }
}

/// Evaluates the script, and finds its hooks.
fn evaluate(
    ctx: &Ctx<'_>,
    hooks: Persistent<Object<'static>>,
    file: &mut String,
) -> Result<Vec<Entry>, Failure> {
    let settings: Object = ctx.json_parse(config::json())?.get()?;
    let script: Option<Object> = settings.get(SCRIPT_KEY)?;
    let script = script.ok_or_else(|| Failure::Script(problem("there is no script in the config")))?;
    *file = script.get("file")?;
    let hooks = hooks.restore(ctx)?;
    hooks.get::<_, Function>("configure")?.call::<_, ()>((script.get::<_, Value>("config")?,))?;
    let source: String = script.get("source")?;
    let (module, finished) = Module::declare(ctx.clone(), file.as_str(), source)?.eval()?;
    while ctx.execute_pending_job() {}
    if finished.state() == PromiseState::Pending {
        return Err(Failure::Script(problem(
            "an await at the top level never ends: nothing here is asynchronous",
        )));
    }
    finished.result::<Value>().transpose()?;
    let entries = entries(ctx, &hooks, &module.namespace()?)?;
    Ok(entries)
}

fn entries<'js>(ctx: &Ctx<'js>, hooks: &Object<'js>, namespace: &Object<'js>) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for name in namespace.keys::<String>() {
        let name = name?;
        let value: Value = namespace.get(name.as_str())?;
        let Some((function, hook)) = HOOKS.into_iter().find(|(function, _)| *function == name) else {
            check_export(&name)?;
            continue;
        };
        let Some(defined) = value.as_function() else {
            return Err(Failure::Script(problem(format!("{name} is exported, but is no function"))));
        };
        let make: Function = hooks.get(function)?;
        let call: Function = make.call((defined.clone(),))?;
        entries.push(Entry { function, hook, call: Persistent::save(ctx, call) });
    }
    if entries.is_empty() {
        let words = "it exports no hook, so it would never be asked; for example: export function onRcpt(rcpt) { return next(); }";
        return Err(Failure::Script(problem(words)));
    }
    entries.sort_by_key(|entry| HOOKS.iter().position(|(function, _)| *function == entry.function));
    Ok(entries)
}

/// A name that looks like a hook and is none would never be called.
fn check_export(name: &str) -> Result<(), Failure> {
    let looks_like_a_hook =
        name.strip_prefix("on").is_some_and(|rest| rest.starts_with(|first: char| first.is_uppercase()));
    if !looks_like_a_hook {
        return Ok(());
    }
    let known: Vec<&str> = HOOKS.iter().map(|(function, _)| *function).collect();
    Err(Failure::Script(problem(format!("{name} is not a hook; the hooks are {}", known.join(", ")))))
}
