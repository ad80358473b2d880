package baton

import (
	"strings"
	"time"

	"baton/internal/bindings/baton_host_clock"
	"baton/internal/bindings/baton_host_config"
	"baton/internal/bindings/baton_host_dns"
	"baton/internal/bindings/baton_host_http"
	"baton/internal/bindings/baton_host_kv"
	"baton/internal/bindings/baton_host_log"
	"baton/internal/bindings/baton_host_metrics"
	"baton/internal/bindings/baton_relay_failure"
	"baton/internal/bindings/baton_relay_message"
	"baton/internal/bindings/baton_relay_routing"
	"baton/internal/bindings/baton_relay_verify"
	"baton/internal/call"
	witTypes "baton/internal/wit/types"
)

func configJSON() string { return baton_host_config.Json() }

// Secret is one that the settings bind to this plugin; none while the settings are checked.
func Secret(name string) (string, bool) { return known(baton_host_config.Secret(name)) }

// Now is the relay's clock.
func Now() time.Time { return time.UnixMilli(int64(baton_host_clock.NowMs())) }

// Remaining is the wall time that this call may still take.
func Remaining() time.Duration {
	return time.Duration(baton_host_clock.RemainingMs()) * time.Millisecond
}

func emit(level uint8, text string, fields []string) { baton_host_log.Emit(level, text, pairs(fields)) }

func pairs(fields []string) []witTypes.Tuple2[string, string] {
	list := make([]witTypes.Tuple2[string, string], 0, len(fields)/2)
	for at := 0; at+1 < len(fields); at += 2 {
		list = append(list, witTypes.Tuple2[string, string]{F0: fields[at], F1: fields[at+1]})
	}
	return list
}

// Count adds to a counter; labels are name, value, name, value, …
func (meters) Count(name string, value uint64, labels ...string) {
	baton_host_metrics.Count(name, value, pairs(labels))
}

// Gauge sets a gauge.
func (meters) Gauge(name string, value float64, labels ...string) {
	baton_host_metrics.Gauge(name, value, pairs(labels))
}

// Observe adds an observation to a histogram.
func (meters) Observe(name string, value float64, labels ...string) {
	baton_host_metrics.Observe(name, value, pairs(labels))
}

// ---------------------------------------------------------------- key-value store: one handle for a bucket in a call

var buckets = map[string]*baton_host_kv.Bucket{}

func dropBuckets() {
	for name, bucket := range buckets {
		bucket.Drop()
		delete(buckets, name)
	}
}

func kvError(asked string, err baton_host_kv.Error) error {
	kind := []string{"denied", "quota", "too-large", "unavailable"}[err.Tag()]
	detail := ""
	if err.Tag() == baton_host_kv.Error_Unavailable {
		detail = err.Unavailable()
	}
	return &HostError{kind, "kv " + asked, detail}
}

func ask[T any](bucket Bucket, key string, question func(opened *baton_host_kv.Bucket) witTypes.Result[T, baton_host_kv.Error]) (T, error) {
	var nothing T
	opened, isOpen := buckets[bucket.name]
	if !isOpen {
		result := baton_host_kv.BucketOpen(bucket.name)
		if result.IsErr() {
			return nothing, kvError(bucket.name, result.Err())
		}
		if len(buckets) == 0 {
			call.OnRelease(dropBuckets)
		}
		opened = result.Ok()
		buckets[bucket.name] = opened
	}
	result := question(opened)
	if result.IsErr() {
		return nothing, kvError(bucket.name+": "+key, result.Err())
	}
	return result.Ok(), nil
}

func milliseconds(ttl time.Duration) witTypes.Option[uint64] {
	if ttl == 0 {
		return witTypes.None[uint64]()
	}
	return witTypes.Some(uint64(ttl.Milliseconds()))
}

type (
	kvHandle = *baton_host_kv.Bucket
	unit     = witTypes.Result[witTypes.Unit, baton_host_kv.Error]
	yesOrNo  = witTypes.Result[bool, baton_host_kv.Error]
)

// Get reads a value.
func (bucket Bucket) Get(key string) (value []byte, isThere bool, err error) {
	option, err := ask(bucket, key, func(opened kvHandle) witTypes.Result[witTypes.Option[[]byte], baton_host_kv.Error] {
		return opened.Get(key)
	})
	value, isThere = known(option)
	return value, isThere, err
}

// Set sets a value.
func (bucket Bucket) Set(key string, value []byte, ttl time.Duration) error {
	_, err := ask(bucket, key, func(opened kvHandle) unit { return opened.Set(key, value, milliseconds(ttl)) })
	return err
}

// SetIfAbsent sets it only when there is none.
func (bucket Bucket) SetIfAbsent(key string, value []byte, ttl time.Duration) (wasSet bool, err error) {
	return ask(bucket, key, func(opened kvHandle) yesOrNo { return opened.SetIfAbsent(key, value, milliseconds(ttl)) })
}

// CompareAndSet sets it only when it is what was expected; nil is "absent", before and after.
func (bucket Bucket) CompareAndSet(key string, expected, value []byte, ttl time.Duration) (wasSet bool, err error) {
	return ask(bucket, key, func(opened kvHandle) yesOrNo {
		return opened.CompareAndSet(key, orNone(expected), orNone(value), milliseconds(ttl))
	})
}

// Delete deletes it.
func (bucket Bucket) Delete(key string) error {
	_, err := ask(bucket, key, func(opened kvHandle) unit { return opened.Delete(key) })
	return err
}

// Increment adds atomically and answers the new value. The time to live counts from the key's creation: a fixed window.
func (bucket Bucket) Increment(key string, delta int64, ttl time.Duration) (int64, error) {
	return ask(bucket, key, func(opened kvHandle) witTypes.Result[int64, baton_host_kv.Error] {
		return opened.Increment(key, delta, milliseconds(ttl))
	})
}

// Take takes from a token bucket: burst tokens at most, all of them back after the period.
func (bucket Bucket) Take(key string, cost, burst uint32, period time.Duration) (Taken, error) {
	taken, err := ask(bucket, key, func(opened kvHandle) witTypes.Result[baton_host_kv.Taken, baton_host_kv.Error] {
		return opened.Take(key, cost, burst, uint64(period.Milliseconds()))
	})
	return Taken{taken.Allowed, taken.Remaining, time.Duration(taken.RetryAfterMs) * time.Millisecond}, err
}

// Scan gives keys that begin with the prefix, in order, and where the next page begins ("" when that was all).
func (bucket Bucket) Scan(prefix, cursor string, limit uint32) (keys []string, next string, err error) {
	from := witTypes.None[string]()
	if cursor != "" {
		from = witTypes.Some(cursor)
	}
	page, err := ask(bucket, prefix, func(opened kvHandle) witTypes.Result[baton_host_kv.Page, baton_host_kv.Error] {
		return opened.Scan(prefix, from, limit)
	})
	return page.Keys, page.Cursor.SomeOr(""), err
}

// ---------------------------------------------------------------- DNS, HTTP, callouts

func dnsError(asked string, err baton_host_dns.Error) error {
	kind, detail := []string{"denied", "timeout", "bad-name", "failed"}[err.Tag()], ""
	if err.Tag() == baton_host_dns.Error_Failed {
		detail = err.Failed()
	}
	return &HostError{kind, "dns " + asked, detail}
}

// Lookup asks for records of a type, by its IANA number: 1 A, 15 MX, 16 TXT, 28 AAAA.
func (dns) Lookup(name string, rrType uint16) (Answer, error) {
	result := baton_host_dns.Lookup(baton_host_dns.Query{Name: name, RrType: rrType})
	if result.IsErr() {
		return Answer{}, dnsError(name, result.Err())
	}
	answer := result.Ok()
	return Answer{answer.Rcode, answer.Authenticated, time.Duration(answer.Ttl) * time.Second, answer.Records}, nil
}

// Blocklists asks all lists at once about an address or a domain: what each says, and the first error there was. Empty is
// "not listed", or no answer.
func (dns) Blocklists(zones []string, subject string) (listed [][]string, err error) {
	listed = make([][]string, len(zones))
	for index, result := range baton_host_dns.Blocklists(zones, subject) {
		if !result.IsErr() {
			listed[index] = result.Ok()
		} else if err == nil {
			err = dnsError(zones[index], result.Err())
		}
	}
	return listed, err
}

func lowerRequest(request Request) baton_host_http.Request {
	raw := baton_host_http.Request{Method: request.Method, Url: request.URL, Body: request.Body}
	if raw.Method == "" {
		raw.Method = "GET"
	}
	for name, value := range request.Headers {
		raw.Headers = append(raw.Headers, witTypes.Tuple2[string, string]{F0: name, F1: value})
	}
	raw.TimeoutMs, raw.MaxResponse = witTypes.None[uint32](), witTypes.None[uint32]()
	if request.Timeout != 0 {
		raw.TimeoutMs = witTypes.Some(uint32(request.Timeout.Milliseconds()))
	}
	if request.ResponseMax != 0 {
		raw.MaxResponse = witTypes.Some(request.ResponseMax)
	}
	return raw
}

func liftResponse(asked string, result witTypes.Result[baton_host_http.Response, baton_host_http.Error]) (Response, error) {
	if result.IsErr() {
		err := result.Err()
		kind, detail := []string{"denied", "timeout", "too-large", "failed"}[err.Tag()], ""
		if err.Tag() == baton_host_http.Error_Failed {
			detail = err.Failed()
		}
		return Response{}, &HostError{kind, asked, detail}
	}
	raw := result.Ok()
	response := Response{raw.Status, map[string]string{}, raw.Body}
	for _, header := range raw.Headers {
		response.Headers[strings.ToLower(header.F0)] = header.F1
	}
	return response, nil
}

// Fetch makes a request (grant: http, by URL prefix), and waits for the answer.
func (http) Fetch(request Request) (Response, error) {
	return liftResponse("http "+request.URL, baton_host_http.Fetch(lowerRequest(request)))
}

// PostRaw sends the raw message as the body of a request, without copying it into the plugin.
func (message) PostRaw(request Request) (Response, error) {
	if request.Method == "" {
		request.Method = "POST"
	}
	return liftResponse("post raw "+request.URL, baton_relay_message.PostRaw(lowerRequest(request)))
}

// Verify asks the next hop whether it takes mail for a recipient (rcpt hook only; grant: verify).
func Verify(recipient Address) (host string, reply RemoteReply, err error) {
	result := baton_relay_verify.Recipient(lower(recipient))
	if result.IsErr() {
		failed := result.Err()
		kind, detail := []string{"denied", "timeout", "failed"}[failed.Tag()], ""
		if failed.Tag() == baton_relay_verify.Error_Failed {
			detail = failed.Failed()
		}
		return "", RemoteReply{}, &HostError{kind, "verify " + recipient.String(), detail}
	}
	answer := result.Ok()
	return answer.Host, RemoteReply{answer.Reply.Code, answer.Reply.Text}, nil
}

// ---------------------------------------------------------------- routing, failure

// Attempt is how many were finished so far.
func (routing) Attempt() uint32 { return baton_relay_routing.Attempt() }

// Age is the time since the message was accepted.
func (routing) Age() time.Duration {
	return time.Duration(baton_relay_routing.AgeMs()) * time.Millisecond
}

// LastError is what the last attempt ended with.
func (routing) LastError() (string, bool) { return known(baton_relay_routing.LastError()) }

// UseMXOf delivers to the MX of that domain.
func (routing) UseMXOf(domain string) error {
	return changed("use mx of", baton_relay_routing.UseMxOf(domain))
}

// UseHost delivers by SMTP to this host.
func (routing) UseHost(host string, port uint16) error {
	return changed("use host", baton_relay_routing.UseHost(host, port))
}

// UseLMTP delivers by LMTP to "host:port" or "unix:/path".
func (routing) UseLMTP(target string) error {
	return changed("use lmtp", baton_relay_routing.UseLmtp(target))
}

// UseNextHop delivers to a next hop that the settings name.
func (routing) UseNextHop(name string) error {
	return changed("use next hop", baton_relay_routing.UseNextHop(name))
}

// AddFallback names one more host to try.
func (routing) AddFallback(host string, port uint16) error {
	return changed("add fallback", baton_relay_routing.AddFallback(host, port))
}

// SetQueue names the queue that the copy waits in.
func (routing) SetQueue(name string) error {
	return changed("set queue", baton_relay_routing.SetQueue(name))
}

// NotBefore lets no attempt begin before that moment.
func (routing) NotBefore(moment time.Time) error {
	return changed("not before", baton_relay_routing.NotBefore(uint64(moment.UnixMilli())))
}

// ExpireAfter gives up this long after acceptance.
func (routing) ExpireAfter(age time.Duration) error {
	return changed("expire after", baton_relay_routing.ExpireAfter(uint64(age.Milliseconds())))
}

// Permanent is true when the relay would give up.
func (failure) Permanent() bool { return baton_relay_failure.Permanent() }

// RemoteHost is the host that was tried.
func (failure) RemoteHost() (string, bool) { return known(baton_relay_failure.RemoteHost()) }

// RemoteReply is what it said, when it came to that.
func (failure) RemoteReply() (RemoteReply, bool) {
	reply, isThere := known(baton_relay_failure.RemoteReply())
	return RemoteReply{reply.Code, reply.Text}, isThere
}

// Phase is "dns", "connect", "tls", "ehlo", "auth", "mail", "rcpt", "data", "policy" or "expired".
func (failure) Phase() string { return baton_relay_failure.Phase() }

// Class is what the relay's own classifier says.
func (failure) Class() string { return baton_relay_failure.Class() }

// SetClass puts the failure into another class.
func (failure) SetClass(name string) error {
	return changed("set class", baton_relay_failure.SetClass(name))
}
