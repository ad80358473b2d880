// Package baton is for plugins for the Baton mail relay.
//
// A plugin is a program whose init registers its hooks, each with the package of that name:
//
//	func init() { rcpt.Handle(onRcpt) }
//	func main() {}
//
// A hook whose package is not imported is never called. Everything that a hook can see, ask and change hangs on this
// package's variables: Session, Envelope, Message, Routing, Failure, DNS, HTTP, Log, Metrics. An error that a hook returns is
// logged and makes the plugin fail: the operator's `on_failure` decides, and none of its changes is kept.
package baton

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"baton/internal/call"
)

// Decision is what a hook answers; made by the functions of this package.
type Decision = call.Decision

// Problem is something wrong in the settings: a dotted path below [plugins.NAME.config], and what is wrong there.
type Problem = call.Problem

// Settings names the function that checks the settings. It runs once per load, before any mail, with only Log and Config
// answering.
func Settings(check func() []Problem) { call.Settings(check) }

// Config reads the settings into a value, as encoding/json does.
func Config(into any) error { return json.Unmarshal([]byte(configJSON()), into) }

// Address is a mailbox. The domain is in its ASCII form.
type Address struct{ Local, Domain string }

// ParseAddress reads local@domain.
func ParseAddress(text string) (Address, error) {
	at := strings.LastIndexByte(text, '@')
	if at < 1 || at == len(text)-1 {
		return Address{}, fmt.Errorf("%q is not a mailbox: local@domain is needed", text)
	}
	return Address{text[:at], strings.ToLower(text[at+1:])}, nil
}

// TLS is what protects a connection.
type TLS struct {
	// Version is "TLSv1.3" or "TLSv1.2".
	Version string
	// Cipher is the suite by its registered name, such as "TLS_AES_256_GCM_SHA384".
	Cipher string
	// ServerName is what the client asked for (SNI).
	ServerName string
	// Certificate is what the client showed of itself; nil when it showed none.
	Certificate *Certificate
}

// Certificate is a client's. It proves something only when Distrust, why it does not, is empty.
type Certificate struct{ Subject, SHA256, Distrust string }

// VerifiedSubject is whom the client's certificate names, when it is trusted.
func (tls TLS) VerifiedSubject() (string, bool) {
	if tls.Certificate == nil || tls.Certificate.Distrust != "" {
		return "", false
	}
	return tls.Certificate.Subject, true
}

func (address Address) String() string { return address.Local + "@" + address.Domain }

// Parameters are those of MAIL or RCPT by upper-case name; those without a value are empty.
type Parameters map[string]string

// Credential is what a client gave: a password or a token.
type Credential struct{ Mechanism, User, Password, Token string }

// Event is something that happened. Kinds grow: ignore what you do not know.
type Event struct {
	Time                 time.Time
	Kind                 string
	SessionID, MessageID string
	Fields               map[string]string
}

// HostError says that the relay refused, or could not do, what was asked.
type HostError struct {
	// Kind is "denied", "quota", "too-large", "unavailable", "timeout", "bad-name", "failed", or "refused" for a change.
	Kind string
	// Asked is what was asked, Detail what the relay said of it.
	Asked, Detail string
}

func (err *HostError) Error() string {
	if err.Detail == "" {
		return err.Asked + ": " + err.Kind
	}
	return err.Asked + ": " + err.Kind + ": " + err.Detail
}

// ---------------------------------------------------------------- decisions

// Next asks the next plugin.
func Next() Decision { return Decision{Kind: "next"} }

// Accept asks no more plugins at this hook. In the rcpt hook it lets in what the relay would refuse (grant: relay).
func Accept() Decision { return Decision{Kind: "accept"} }

// Reject refuses for good: 5xx, such as Reject(550, "5.7.1", "we do not serve that domain").
func Reject(code uint16, enhanced, text string) Decision {
	return reply("reject", code, enhanced, text)
}

// Tempfail refuses for now: 4xx.
func Tempfail(code uint16, enhanced, text string) Decision {
	return reply("tempfail", code, enhanced, text)
}

// Disconnect answers 4xx or 5xx and closes the connection.
func Disconnect(code uint16, enhanced, text string) Decision {
	return reply("disconnect", code, enhanced, text)
}

// Discard answers 250 and drops the recipient or the message.
func Discard(reason string) Decision { return Decision{Kind: "discard", Text: reason} }

// Quarantine answers 250 and holds the message for an operator.
func Quarantine(reason string) Decision { return Decision{Kind: "quarantine", Text: reason} }

// Allow says that the client is that account.
func Allow(account string) Decision { return Decision{Kind: "allow", Text: account} }

// Deny says that the client is not who it says it is: 5xx.
func Deny(code uint16, enhanced, text string) Decision { return reply("deny", code, enhanced, text) }

// Routed uses what was set by Routing, and asks no more plugins.
func Routed() Decision { return Decision{Kind: "routed"} }

// Hold keeps the copy until an operator releases it.
func Hold(reason string) Decision { return Decision{Kind: "hold", Text: reason} }

// Fail gives up: in the route hook with that reply; in the bounce hook the reply is not used.
func Fail(code uint16, enhanced, text string) Decision { return reply("fail", code, enhanced, text) }

// Notify gives up and reports to the sender.
func Notify() Decision { return Decision{Kind: "notify"} }

// Silent gives up without a report.
func Silent() Decision { return Decision{Kind: "silent"} }

// Retry tries again after that time.
func Retry(after time.Duration) Decision { return Decision{Kind: "retry", After: after} }

// Reroute asks the route hook again at once.
func Reroute() Decision { return Decision{Kind: "reroute"} }

// reply panics when the enhanced code is no such code: that is a mistake in the plugin, which fails then.
func reply(kind string, code uint16, enhanced, text string) Decision {
	made := call.Reply{Code: code, Text: text}
	if enhanced != "" {
		numbers := &made.Enhanced
		if _, err := fmt.Sscanf(enhanced, "%d.%d.%d", &numbers[0], &numbers[1], &numbers[2]); err != nil {
			panic(fmt.Sprintf("%s: %q is no enhanced status code such as \"5.7.1\"", kind, enhanced))
		}
		made.HasEnhanced = true
	}
	return Decision{Kind: kind, Reply: made}
}

// ---------------------------------------------------------------- what hooks read and change

// The mail and the services of the call in progress.
var (
	Session  session
	Envelope envelope
	Message  message
	Routing  routing
	Failure  failure
	DNS      dns
	HTTP     http
	Log      logger
	Metrics  meters
)

type (
	session  struct{}
	envelope struct{}
	message  struct{}
	routing  struct{}
	failure  struct{}
	dns      struct{}
	http     struct{}
	logger   struct{}
	meters   struct{}
)

// Part is a leaf of the MIME tree.
type Part struct{ index uint32 }

// Parts are the leaves of the MIME tree, in order.
func (message) Parts() []Part {
	parts := make([]Part, partCount())
	for index := range parts {
		parts[index].index = uint32(index)
	}
	return parts
}

// Recipients are those of the envelope.
func (envelope) Recipients() []Address {
	recipients := make([]Address, Envelope.RecipientCount())
	for index := range recipients {
		recipients[index], _ = Envelope.Recipient(uint32(index))
	}
	return recipients
}

// Bucket is one of the key-value store (grant: kv, by name): the plugin's own, unless its name begins with "shared/".
// Times to live of 0 are for good.
type Bucket struct{ name string }

// KV names a bucket; it is opened when it is used first.
func KV(name string) Bucket { return Bucket{name} }

// Taken is the answer of a token bucket.
type Taken struct {
	Allowed    bool
	Remaining  uint32
	RetryAfter time.Duration
}

// Answer is one of the DNS.
type Answer struct {
	// RCode is the response code; 3 is "no such name".
	RCode         uint16
	Authenticated bool
	TTL           time.Duration
	Records       []string
}

// Request is one of HTTP. What is zero is the relay's own: GET, its timeout, its bound of the response.
type Request struct {
	Method, URL string
	Headers     map[string]string
	Body        []byte
	Timeout     time.Duration
	ResponseMax uint32
}

// Response is one of HTTP; the names of headers are in lower case.
type Response struct {
	Status  uint16
	Headers map[string]string
	Body    []byte
}

// RemoteReply is what another mail server said.
type RemoteReply struct {
	Code uint16
	Text string
}

// Trace, Debug, Info, Warn and Error write lines of the relay's log: Log.Info("refused", "name", name).
func (logger) Trace(text string, fields ...string) { emit(0, text, fields) }

// Debug writes a line.
func (logger) Debug(text string, fields ...string) { emit(1, text, fields) }

// Info writes a line.
func (logger) Info(text string, fields ...string) { emit(2, text, fields) }

// Warn writes a line.
func (logger) Warn(text string, fields ...string) { emit(3, text, fields) }

// Error writes a line.
func (logger) Error(text string, fields ...string) { emit(4, text, fields) }
