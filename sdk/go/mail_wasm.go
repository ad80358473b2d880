package baton

import (
	"encoding/hex"
	"strings"

	"baton/internal/bindings/baton_relay_envelope"
	"baton/internal/bindings/baton_relay_message"
	"baton/internal/bindings/baton_relay_session"
	"baton/internal/bindings/baton_relay_types"
	"baton/internal/call"
	witTypes "baton/internal/wit/types"
)

func known[T any](option witTypes.Option[T]) (value T, isThere bool) {
	return option.SomeOr(value), option.IsSome()
}

// changed is the error of a change that the relay refused with a text.
func changed[T any](asked string, result witTypes.Result[T, string]) error {
	if result.IsErr() {
		return &HostError{"refused", asked, result.Err()}
	}
	return nil
}

func lift(address baton_relay_types.Address) Address {
	return Address{address.Local, strings.ToLower(address.Domain)}
}

func lower(address Address) baton_relay_types.Address {
	return baton_relay_types.Address{Local: address.Local, Domain: address.Domain}
}

func liftParameters(list []baton_relay_types.Param) Parameters {
	parameters := Parameters{}
	for _, one := range list {
		parameters[one.Name] = one.Value.SomeOr("")
	}
	return parameters
}

func orNone(value []byte) witTypes.Option[[]byte] {
	if value == nil {
		return witTypes.None[[]byte]()
	}
	return witTypes.Some(value)
}

// ---------------------------------------------------------------- session

// ID is its name in logs.
func (session) ID() string { return baton_relay_session.Id() }

// Listener is the listener's name in the settings; "internal" for messages that the relay made itself.
func (session) Listener() string { return baton_relay_session.Listener() }

// RemoteIP is the client's address.
func (session) RemoteIP() string { return baton_relay_session.RemoteIp() }

// RemotePort is the client's port.
func (session) RemotePort() uint16 { return baton_relay_session.RemotePort() }

// RemoteName is the forward-confirmed reverse name, looked up on first use.
func (session) RemoteName() (string, bool) { return known(baton_relay_session.RemoteName()) }

// Helo is what the client called itself.
func (session) Helo() (string, bool) { return known(baton_relay_session.Helo()) }

// AuthenticatedAs is the client's account.
func (session) AuthenticatedAs() (string, bool) { return known(baton_relay_session.AuthenticatedAs()) }

// Iprev is what came of looking for the client's name and for the way back from it (RFC 8601 2.7.3), looked up on first
// use: "pass", "fail", "permerror" or "temperror".
func (session) Iprev() (string, bool) { return known(baton_relay_session.Iprev()) }

// TLS is what protects the connection; false in plain text.
func (session) TLS() (TLS, bool) {
	facts, isThere := known(baton_relay_session.Tls())
	tls := TLS{Version: facts.Version, Cipher: facts.Cipher, ServerName: facts.ServerName.SomeOr("")}
	if shown, isShown := known(facts.Certificate); isShown {
		tls.Certificate = &Certificate{shown.Subject, shown.Sha256, shown.Distrust.SomeOr("")}
	}
	return tls, isThere
}

// Note reads a note: private to the plugin unless the key begins with "shared/".
func (session) Note(key string) ([]byte, bool) { return known(baton_relay_session.Note(key)) }

// SetNote sets or (nil) removes a note.
func (session) SetNote(key string, value []byte) error {
	return changed("note "+key, baton_relay_session.SetNote(key, orNone(value)))
}

// ---------------------------------------------------------------- envelope

// ID is the message's name in logs.
func (envelope) ID() string { return baton_relay_envelope.Id() }

// Tenant is whose mail it is.
func (envelope) Tenant() (string, bool) { return known(baton_relay_envelope.Tenant()) }

// Stream is which stream of that tenant.
func (envelope) Stream() (string, bool) { return known(baton_relay_envelope.MessageStream()) }

// Sender is the return path; false is the null sender.
func (envelope) Sender() (Address, bool) {
	sender, isThere := known(baton_relay_envelope.Sender())
	return lift(sender), isThere
}

// SenderParameters are those of MAIL FROM.
func (envelope) SenderParameters() Parameters {
	return liftParameters(baton_relay_envelope.SenderParams())
}

// RecipientCount is how many there are.
func (envelope) RecipientCount() uint32 { return baton_relay_envelope.RecipientCount() }

// Recipient is one of them, from 0.
func (envelope) Recipient(index uint32) (Address, bool) {
	recipient, isThere := known(baton_relay_envelope.Recipient(index))
	return lift(recipient), isThere
}

// RecipientParameters are those of its RCPT TO.
func (envelope) RecipientParameters(index uint32) Parameters {
	return liftParameters(baton_relay_envelope.RecipientParams(index))
}

// SetSender changes the return path; nil is the null sender.
func (envelope) SetSender(to *Address) error {
	address := witTypes.None[baton_relay_types.Address]()
	if to != nil {
		address = witTypes.Some(lower(*to))
	}
	return changed("set sender", baton_relay_envelope.SetSender(address))
}

// AddRecipient adds one.
func (envelope) AddRecipient(to Address) error {
	return changed("add recipient", baton_relay_envelope.AddRecipient(lower(to)))
}

// RemoveRecipient removes one, by its index at the beginning of the call.
func (envelope) RemoveRecipient(index uint32) error {
	return changed("remove recipient", baton_relay_envelope.RemoveRecipient(index))
}

// Redirect puts other mailboxes in the place of a recipient.
func (envelope) Redirect(index uint32, to ...Address) error {
	list := make([]baton_relay_types.Address, len(to))
	for at, address := range to {
		list[at] = lower(address)
	}
	return changed("redirect", baton_relay_envelope.Redirect(index, list))
}

// SetStream puts the message into a stream.
func (envelope) SetStream(name string) error {
	return changed("set stream", baton_relay_envelope.SetMessageStream(name))
}

// Priority is -9 to 9; what is higher leaves the queue first.
func (envelope) Priority() int8 { return baton_relay_envelope.Priority() }

// SetPriority sets it.
func (envelope) SetPriority(priority int8) error {
	return changed("set priority", baton_relay_envelope.SetPriority(priority))
}

// Quarantine holds the message for an operator, whatever is decided later, unless it is refused.
func (envelope) Quarantine(reason string) error {
	return changed("quarantine", baton_relay_envelope.Quarantine(reason))
}

// Tag sets a tag that stays with the message.
func (envelope) Tag(name, value string) error {
	return changed("tag", baton_relay_envelope.Tag(name, value))
}

// Score adds points under a symbol.
func (envelope) Score(symbol string, points float64) error {
	return changed("score", baton_relay_envelope.Score(symbol, points))
}

// TotalScore is the sum of all points so far.
func (envelope) TotalScore() float64 { return baton_relay_envelope.TotalScore() }

// Note reads a note that travels with the message.
func (envelope) Note(key string) ([]byte, bool) { return known(baton_relay_envelope.Note(key)) }

// SetNote sets or (nil) removes a note.
func (envelope) SetNote(key string, value []byte) error {
	return changed("note "+key, baton_relay_envelope.SetNote(key, orNone(value)))
}

// ---------------------------------------------------------------- message

// Size is octets in all.
func (message) Size() uint64 { return baton_relay_message.Size() }

// HeaderSize is octets of the header, without the empty line.
func (message) HeaderSize() uint64 { return baton_relay_message.HeaderSize() }

// TooComplex is why the header was not read.
func (message) TooComplex() (string, bool) { return known(baton_relay_message.TooComplex()) }

// Header is the first value of that name, unfolded and decoded.
func (message) Header(name string) (string, bool) { return known(baton_relay_message.Header(name)) }

// Headers are all values of that name.
func (message) Headers(name string) []string { return baton_relay_message.Headers(name) }

// HeaderNames are those of all fields, in order.
func (message) HeaderNames() []string { return baton_relay_message.HeaderNames() }

// RawHeader is the first value as it stands in the message.
func (message) RawHeader(name string) ([]byte, bool) {
	return known(baton_relay_message.RawHeader(name))
}

// Addresses are display name and address of the mailboxes in all fields of that name.
func (message) Addresses(name string) [][2]string {
	list := baton_relay_message.Addresses(name)
	addresses := make([][2]string, len(list))
	for index, one := range list {
		addresses[index] = [2]string{one.F0, one.F1}
	}
	return addresses
}

// Read gives raw octets, at most 1 MiB.
func (message) Read(offset uint64, length uint32) []byte {
	call.Collect()
	return baton_relay_message.Read(offset, length)
}

// Find is where the needle stands first at or after start.
func (message) Find(needle []byte, start uint64) (uint64, bool) {
	return known(baton_relay_message.Find(needle, start))
}

// Digest is that of all raw octets in hexadecimal: "sha-256", "sha-1", "md5".
func (message) Digest(algorithm string) (string, error) {
	return digest(baton_relay_message.Digest(algorithm))
}

// AddHeader adds a field at the end.
func (message) AddHeader(name, value string) error {
	return changed("add header", baton_relay_message.AddHeader(name, value))
}

// InsertHeader inserts a field before that index; 0 is the top.
func (message) InsertHeader(index uint32, name, value string) error {
	return changed("insert header", baton_relay_message.InsertHeader(index, name, value))
}

// SetHeader replaces the first field of that name and removes the others, or adds it.
func (message) SetHeader(name, value string) error {
	return changed("set header", baton_relay_message.SetHeader(name, value))
}

// RemoveHeader removes all fields of that name.
func (message) RemoveHeader(name string) error {
	return changed("remove header", baton_relay_message.RemoveHeader(name))
}

// ReplaceBody gives a new body to write, finished when the function returns without an error. Lines end with CRLF.
func (message) ReplaceBody(write func(body Body) error) error {
	begun := baton_relay_message.ReplaceBody()
	if begun.IsErr() {
		return changed("replace body", begun)
	}
	writer := begun.Ok()
	defer writer.Drop()
	if err := write(Body{writer}); err != nil {
		return err
	}
	return changed("replace body", writer.Finish())
}

// Body is the new body, while it is written.
type Body struct {
	writer *baton_relay_message.BodyWriter
}

// Write adds octets.
func (body Body) Write(chunk []byte) (int, error) {
	return len(chunk), changed("replace body", body.writer.Write(chunk))
}

// Copy adds octets of the message as it is, without copying them into the plugin.
func (body Body) Copy(offset, length uint64) error {
	return changed("replace body", body.writer.Copy(offset, length))
}

func digest(result witTypes.Result[[]byte, string]) (string, error) {
	if result.IsErr() {
		return "", changed("digest", result)
	}
	return hex.EncodeToString(result.Ok()), nil
}

// ---------------------------------------------------------------- parts: one handle serves them all

var held struct {
	part  *baton_relay_message.Part
	index uint32
}

func partCount() uint32 { return baton_relay_message.PartCount() }

func dropPart() {
	if held.part != nil {
		held.part.Drop()
		held.part = nil
	}
}

func (part Part) open() *baton_relay_message.Part {
	if held.part == nil || held.index != part.index {
		if held.part == nil {
			call.OnRelease(dropPart)
		}
		dropPart()
		held.part, held.index = baton_relay_message.GetPart(part.index).Some(), part.index
	}
	return held.part
}

// ContentType is in lower case, such as "text/plain".
func (part Part) ContentType() string { return part.open().ContentType() }

// Disposition is "inline", "attachment" or another one.
func (part Part) Disposition() (string, bool) { return known(part.open().Disposition()) }

// Filename is decoded.
func (part Part) Filename() (string, bool) { return known(part.open().Filename()) }

// Charset is as named in the part.
func (part Part) Charset() (string, bool) { return known(part.open().Charset()) }

// TransferEncoding is "7bit" when there is none.
func (part Part) TransferEncoding() string { return part.open().TransferEncoding() }

// Header is the first value of that name in the part.
func (part Part) Header(name string) (string, bool) { return known(part.open().Header(name)) }

// Within are the subtypes of the enclosing multiparts, from the outermost.
func (part Part) Within() []string { return part.open().Within() }

// RawRange is where its encoded content stands in the raw message.
func (part Part) RawRange() (offset, length uint64) { return part.open().RawRange() }

// DecodedSize is octets after decoding.
func (part Part) DecodedSize() uint64 { return part.open().DecodedSize() }

// Read gives decoded octets, at most 1 MiB.
func (part Part) Read(offset uint64, length uint32) []byte {
	call.Collect()
	return part.open().Read(offset, length)
}

// Text is decoded to Unicode, at most so many characters; HTML is reduced to text when asked for.
func (part Part) Text(charactersMax uint32, stripHTML bool) string {
	return part.open().Text(charactersMax, stripHTML)
}

// Digest is that of the decoded octets, in hexadecimal.
func (part Part) Digest(algorithm string) (string, error) {
	return digest(part.open().Digest(algorithm))
}

// URLs are the links in text and HTML.
func (part Part) URLs(max uint32) []string { return part.open().Urls(max) }
