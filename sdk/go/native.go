//go:build !wasip1

package baton

import (
	"bytes"
	"fmt"
	"sort"
	"strings"
	"time"

	"baton/internal/call"
)

// World is a relay made up for a unit test, which runs natively: `go test`. What a plugin reads is in its fields; what it did
// is in Done. What is not in here answers nothing or an error: the whole contract is what `baton plugin test` runs.
type World struct {
	// ConfigJSON are the settings.
	ConfigJSON string
	Secrets    map[string]string
	// RemoteIP, HeloName and Account are of the session.
	RemoteIP, HeloName, Account string
	// TLS is what protects it; nil in plain text.
	TLS        *TLS
	Sender                      *Address
	Recipients                  []Address
	// Headers are names and values, PartNames the file names of parts ("" for one without).
	Headers   [][2]string
	PartNames []string
	Octets    []byte
	KV        map[string]map[string][]byte
	// Records are those of the DNS by name.
	Records map[string][]string
	// Reply answers requests of HTTP.
	Reply func(request Request) (Response, error)
	Time  time.Time
	// Done is what the plugin changed and logged, a line each, such as "set header X-A: 1", "log refused".
	Done []string
}

// Fake is the relay that native builds ask.
var Fake = &World{}

// Problems is what the plugin's check says of Fake's settings.
func (world *World) Problems() []Problem { return call.Check() }

func (world *World) did(format string, given ...any) error {
	world.Done = append(world.Done, fmt.Sprintf(format, given...))
	return nil
}

func denied(asked string) error { return &HostError{"denied", asked, "not in the fake"} }

func filled(text string) (string, bool) { return text, text != "" }

func configJSON() string {
	if Fake.ConfigJSON == "" {
		return "{}"
	}
	return Fake.ConfigJSON
}

func Secret(name string) (string, bool) {
	secret, isThere := Fake.Secrets[name]
	return secret, isThere
}
func Now() time.Time           { return Fake.Time }
func Remaining() time.Duration { return time.Second }

func emit(_ uint8, text string, _ []string) { _ = Fake.did("log %s", text) }

func (meters) Count(name string, value uint64, _ ...string) { _ = Fake.did("count %s %d", name, value) }
func (meters) Gauge(name string, value float64, _ ...string) {
	_ = Fake.did("gauge %s %g", name, value)
}
func (meters) Observe(name string, value float64, _ ...string) {
	_ = Fake.did("observe %s %g", name, value)
}

func (session) ID() string                         { return "s1" }
func (session) Listener() string                   { return "smtp" }
func (session) RemoteIP() string                   { return Fake.RemoteIP }
func (session) RemotePort() uint16                 { return 40000 }
func (session) RemoteName() (string, bool)         { return "", false }
func (session) Helo() (string, bool)               { return filled(Fake.HeloName) }
func (session) AuthenticatedAs() (string, bool)    { return filled(Fake.Account) }
func (session) Iprev() (string, bool)              { return "permerror", true }
func (session) TLS() (TLS, bool) {
	if Fake.TLS == nil {
		return TLS{}, false
	}
	return *Fake.TLS, true
}
func (session) Note(string) ([]byte, bool)         { return nil, false }
func (session) SetNote(key string, _ []byte) error { return Fake.did("session note %s", key) }

func (envelope) ID() string             { return "m1" }
func (envelope) Tenant() (string, bool) { return "", false }
func (envelope) Stream() (string, bool) { return "", false }
func (envelope) Sender() (Address, bool) {
	if Fake.Sender == nil {
		return Address{}, false
	}
	return *Fake.Sender, true
}
func (envelope) SenderParameters() Parameters { return Parameters{} }
func (envelope) RecipientCount() uint32       { return uint32(len(Fake.Recipients)) }
func (envelope) Recipient(index uint32) (Address, bool) {
	if int(index) >= len(Fake.Recipients) {
		return Address{}, false
	}
	return Fake.Recipients[index], true
}
func (envelope) RecipientParameters(uint32) Parameters { return Parameters{} }
func (envelope) SetSender(to *Address) error           { return Fake.did("set sender %v", to) }
func (envelope) AddRecipient(to Address) error         { return Fake.did("add recipient %s", to) }
func (envelope) RemoveRecipient(index uint32) error    { return Fake.did("remove recipient %d", index) }
func (envelope) Redirect(index uint32, to ...Address) error {
	return Fake.did("redirect %d to %v", index, to)
}
func (envelope) SetStream(name string) error     { return Fake.did("set stream %s", name) }
func (envelope) Priority() int8                  { return 0 }
func (envelope) SetPriority(priority int8) error { return Fake.did("set priority %d", priority) }
func (envelope) Quarantine(reason string) error  { return Fake.did("quarantine %s", reason) }
func (envelope) Tag(name, value string) error    { return Fake.did("tag %s=%s", name, value) }
func (envelope) Score(symbol string, points float64) error {
	return Fake.did("score %s %g", symbol, points)
}
func (envelope) TotalScore() float64                { return 0 }
func (envelope) Note(string) ([]byte, bool)         { return nil, false }
func (envelope) SetNote(key string, _ []byte) error { return Fake.did("note %s", key) }

func (message) Size() uint64               { return uint64(len(Fake.Octets)) }
func (message) HeaderSize() uint64         { return 0 }
func (message) TooComplex() (string, bool) { return "", false }
func (message) Header(name string) (string, bool) {
	values := Message.Headers(name)
	return strings.Join(values[:min(1, len(values))], ""), len(values) > 0
}
func (message) Headers(name string) (values []string) {
	for _, header := range Fake.Headers {
		if strings.EqualFold(header[0], name) {
			values = append(values, header[1])
		}
	}
	return values
}
func (message) HeaderNames() (names []string) {
	for _, header := range Fake.Headers {
		names = append(names, header[0])
	}
	return names
}
func (message) RawHeader(name string) ([]byte, bool) {
	value, isThere := Message.Header(name)
	return []byte(value), isThere
}
func (message) Addresses(name string) (addresses [][2]string) {
	for _, value := range Message.Headers(name) {
		addresses = append(addresses, [2]string{"", value})
	}
	return addresses
}
func (message) Read(offset uint64, length uint32) []byte {
	end := min(offset+uint64(length), uint64(len(Fake.Octets)))
	return Fake.Octets[min(offset, end):end]
}
func (message) Find(needle []byte, start uint64) (uint64, bool) {
	at := bytes.Index(Fake.Octets[min(start, uint64(len(Fake.Octets))):], needle)
	return start + uint64(max(at, 0)), at >= 0
}
func (message) Digest(string) (string, error)             { return "", denied("digest") }
func (message) PostRaw(request Request) (Response, error) { return HTTP.Fetch(request) }
func (message) AddHeader(name, value string) error        { return Fake.did("add header %s: %s", name, value) }
func (message) InsertHeader(index uint32, name, value string) error {
	return Fake.did("insert header %d %s: %s", index, name, value)
}
func (message) SetHeader(name, value string) error { return Fake.did("set header %s: %s", name, value) }
func (message) RemoveHeader(name string) error     { return Fake.did("remove header %s", name) }
func (message) ReplaceBody(write func(body Body) error) error {
	written := &bytes.Buffer{}
	if err := write(Body{written}); err != nil {
		return err
	}
	return Fake.did("replace body %s", written)
}

type Body struct{ written *bytes.Buffer }

func (body Body) Write(chunk []byte) (int, error) { return body.written.Write(chunk) }
func (body Body) Copy(offset, length uint64) error {
	_, err := fmt.Fprintf(body.written, "[%d, %d]", offset, length)
	return err
}

func partCount() uint32                             { return uint32(len(Fake.PartNames)) }
func (part Part) ContentType() string               { return "application/octet-stream" }
func (part Part) Disposition() (string, bool)       { return "", false }
func (part Part) Filename() (string, bool)          { return filled(Fake.PartNames[part.index]) }
func (part Part) Charset() (string, bool)           { return "", false }
func (part Part) TransferEncoding() string          { return "7bit" }
func (part Part) Header(string) (string, bool)      { return "", false }
func (part Part) Within() []string                  { return []string{"mixed"} }
func (part Part) RawRange() (offset, length uint64) { return 0, 0 }
func (part Part) DecodedSize() uint64               { return 0 }
func (part Part) Read(uint64, uint32) []byte        { return nil }
func (part Part) Text(uint32, bool) string          { return "" }
func (part Part) Digest(string) (string, error)     { return "", denied("digest") }
func (part Part) URLs(uint32) []string              { return nil }

func (bucket Bucket) values() map[string][]byte {
	if Fake.KV == nil {
		Fake.KV = map[string]map[string][]byte{}
	}
	if Fake.KV[bucket.name] == nil {
		Fake.KV[bucket.name] = map[string][]byte{}
	}
	return Fake.KV[bucket.name]
}
func (bucket Bucket) Get(key string) (value []byte, isThere bool, err error) {
	value, isThere = bucket.values()[key]
	return value, isThere, nil
}
func (bucket Bucket) Set(key string, value []byte, _ time.Duration) error {
	bucket.values()[key] = value
	return nil
}
func (bucket Bucket) SetIfAbsent(key string, value []byte, ttl time.Duration) (wasSet bool, err error) {
	return bucket.CompareAndSet(key, nil, value, ttl)
}
func (bucket Bucket) CompareAndSet(key string, expected, value []byte, _ time.Duration) (wasSet bool, err error) {
	held, isThere := bucket.values()[key]
	if isThere != (expected != nil) || !bytes.Equal(held, expected) {
		return false, nil
	}
	if value == nil {
		delete(bucket.values(), key)
	} else {
		bucket.values()[key] = value
	}
	return true, nil
}
func (bucket Bucket) Delete(key string) error { delete(bucket.values(), key); return nil }
func (bucket Bucket) Increment(key string, delta int64, _ time.Duration) (int64, error) {
	var value int64
	_, _ = fmt.Sscan(string(bucket.values()[key]), &value)
	bucket.values()[key] = []byte(fmt.Sprint(value + delta))
	return value + delta, nil
}
func (bucket Bucket) Take(key string, cost, burst uint32, period time.Duration) (Taken, error) {
	used, _ := bucket.Increment(key, int64(cost), period)
	if used > int64(burst) {
		_, _ = bucket.Increment(key, -int64(cost), period)
		return Taken{false, 0, period}, nil
	}
	return Taken{true, burst - uint32(used), 0}, nil
}
func (bucket Bucket) Scan(prefix, _ string, limit uint32) (keys []string, next string, err error) {
	for key := range bucket.values() {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	return keys[:min(len(keys), int(limit))], "", nil
}

func (dns) Lookup(name string, _ uint16) (Answer, error) {
	records, isThere := Fake.Records[name]
	if !isThere {
		return Answer{RCode: 3}, nil
	}
	return Answer{Records: records, TTL: time.Minute}, nil
}
func (dns) Blocklists(zones []string, _ string) ([][]string, error) {
	return make([][]string, len(zones)), nil
}
func (http) Fetch(request Request) (Response, error) {
	if Fake.Reply == nil {
		return Response{}, denied("http " + request.URL)
	}
	return Fake.Reply(request)
}
func Verify(recipient Address) (host string, reply RemoteReply, err error) {
	return "", RemoteReply{}, denied("verify " + recipient.String())
}

func (routing) Attempt() uint32                        { return 0 }
func (routing) Age() time.Duration                     { return 0 }
func (routing) LastError() (string, bool)              { return "", false }
func (routing) UseMXOf(domain string) error            { return Fake.did("use mx of %s", domain) }
func (routing) UseHost(host string, port uint16) error { return Fake.did("use host %s:%d", host, port) }
func (routing) UseLMTP(target string) error            { return Fake.did("use lmtp %s", target) }
func (routing) UseNextHop(name string) error           { return Fake.did("use next hop %s", name) }
func (routing) AddFallback(host string, port uint16) error {
	return Fake.did("add fallback %s:%d", host, port)
}
func (routing) SetQueue(name string) error { return Fake.did("set queue %s", name) }
func (routing) NotBefore(moment time.Time) error {
	return Fake.did("not before %d", moment.UnixMilli())
}
func (routing) ExpireAfter(age time.Duration) error { return Fake.did("expire after %s", age) }
func (failure) Permanent() bool                     { return true }
func (failure) RemoteHost() (string, bool)          { return "", false }
func (failure) RemoteReply() (RemoteReply, bool)    { return RemoteReply{}, false }
func (failure) Phase() string                       { return "rcpt" }
func (failure) Class() string                       { return "unknown" }
func (failure) SetClass(name string) error          { return Fake.did("set class %s", name) }
