package authorizedkeys

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"
)

func FuzzParse(f *testing.F) {
	for _, one := range mistakes {
		f.Add(keysText(one.text))
	}
	f.Add(keysText("# both\n\nALICE\r\n\ufeffrestrict BOB me\n"))
	f.Add("cert-authority " + written(authority.PublicKey()) + "\n" + written(rsaKey(1024)) + "\n" + written(securityKey(bob)))
	f.Fuzz(func(t *testing.T, text string) {
		keys, faults := Parse("keys", text)
		if len(keys)+len(faults) > MostLines+1 {
			t.Fatalf("%d keys and %d faults", len(keys), len(faults))
		}
		refused := map[int]bool{}
		for _, fault := range faults {
			refused[fault.Line] = true
			said := fault.What + fault.Fix
			if fault.What == "" || fault.Fix == "" || len(said) > 600 || !utf8.ValidString(said) || strings.ContainsFunc(said, unicode.IsControl) {
				t.Errorf("%+v", fault)
			}
		}
		lines := strings.Split(text, "\n")
		for _, key := range keys {
			if refused[key.Line] {
				t.Errorf("line %d is refused and gives a key", key.Line)
			}
			// A line means the same alone as it does among others.
			alone, faults := Parse("keys", lines[key.Line-1])
			if len(faults) != 0 || len(alone) != 1 {
				t.Fatalf("alone, %q gives %d keys and %v", lines[key.Line-1], len(alone), faults)
			}
			alone[0].Line = key.Line
			if !reflect.DeepEqual(alone[0], key) {
				t.Errorf("alone it is %+v\nnot %+v", alone[0], key)
			}
			if !utf8.ValidString(key.Comment) || strings.ContainsFunc(strings.ReplaceAll(key.Comment, "\t", ""), unicode.IsControl) {
				t.Errorf("the comment is %q", key.Comment)
			}
			if !strings.Contains(lines[key.Line-1], written(key.Public)[len(key.Public.Type())+1:]) {
				t.Errorf("%q is not of the key %s", lines[key.Line-1], written(key.Public))
			}
		}
	})
}

func FuzzOptions(f *testing.F) {
	for _, one := range lines {
		f.Add(one.options)
	}
	for _, one := range forwards {
		f.Add(one.options)
	}
	f.Fuzz(func(t *testing.T, options string) {
		if strings.Contains(options, "\n") {
			return
		}
		key := " " + written(alice.PublicKey())
		keys, _ := Parse("keys", options+key)
		if len(keys) != 1 {
			return
		}
		if keys[0].Comment != "" { // the key of the test became the comment of one in the options
			return
		}
		got := keys[0].Options
		// Restricted before, it is at most what it is; restricted after, it is nothing.
		if trimmed := strings.Trim(options, "\ufeff \t\r"); trimmed != "" && trimmed[0] != '#' {
			before := must(t, "restrict,"+trimmed+key)[0].Options
			for name, grew := range map[string]bool{
				"pty": before.PTY && !got.PTY, "agent": before.AgentForwarding && !got.AgentForwarding,
				"forwarding": before.PortForwarding && !got.PortForwarding, "rc": before.UserRC && !got.UserRC,
			} {
				if grew {
					t.Errorf("restrict,%s allows %s", trimmed, name)
				}
			}
			after := must(t, trimmed+",restrict"+key)[0].Options
			if after.PTY || after.AgentForwarding || after.PortForwarding || after.UserRC {
				t.Errorf("%s,restrict allows something", trimmed)
			}
			before.PTY, before.AgentForwarding, before.PortForwarding, before.UserRC = got.PTY, got.AgentForwarding, got.PortForwarding, got.UserRC
			if !reflect.DeepEqual(before, got) {
				t.Errorf("restrict changes %+v\nto %+v", got, before)
			}
		}
		// Every keyword outside quotes is a known one.
		names := " " + strings.Join(optionNames(), " ") + " no-verify-required "
		quoted := false
		plain := strings.Map(func(r rune) rune {
			if r == '"' {
				quoted = !quoted
			}
			if quoted || r == '"' {
				return -1
			}
			return r
		}, strings.ReplaceAll(options, `\"`, ""))
		for word := range strings.SplitSeq(strings.Trim(plain, "\ufeff \t"), ",") {
			if name := strings.ToLower(strings.TrimSuffix(word, "=")); name != "" && !strings.Contains(names, " "+name+" ") {
				t.Errorf("%q is let pass in %q", name, options)
			}
		}
	})
}

func FuzzDecide(f *testing.F) {
	add := func(text string, key ssh.PublicKey) {
		f.Add(text, key.Marshal(), account, "127.0.0.1", noon.Unix(), "")
	}
	for _, one := range lines {
		add(keysText(one.options+" ALICE"), alice.PublicKey())
	}
	for _, one := range certificates {
		if one.change == nil {
			one.change = func(*ssh.Certificate) {}
		}
		options := strings.TrimSuffix("cert-authority,"+one.options, ",")
		add(options+" "+written(authority.PublicKey()), certified(f, one.change))
	}
	add(written(rsaKey(2048)), rsaKey(2048))
	add(written(securityKey(bob)), securityKey(bob))
	f.Add(keysText("ALICE"), alice.PublicKey().Marshal(), "root", "::ffff:10.0.0.1", int64(-1), "ssh-ed25519")
	f.Fuzz(func(t *testing.T, text string, blob []byte, user, remote string, seconds int64, algorithm string) {
		public, err := ssh.ParsePublicKey(blob)
		if err != nil {
			return
		}
		address, _ := netip.ParseAddr(remote)
		attempt := Attempt{User: user, Key: public, Remote: address, Now: time.Unix(seconds, 0), SignatureAlgorithm: algorithm}
		keys, _ := Parse("keys", text)
		grant, err := Decide(keys, account, attempt)
		if err != nil {
			refused := err.(Refusal)
			if grant.Fingerprint != "" || summary(grant) != "exec" {
				t.Errorf("what is refused is granted %s", summary(grant))
			}
			if refused.What == "" || len(refused.What) > 2000 || strings.ContainsFunc(refused.What, unicode.IsControl) {
				t.Errorf("%q", refused.What)
			}
			return
		}
		if user != account || algorithm == ssh.KeyAlgoRSA || grant.Source != "keys" {
			t.Errorf("%q signing with %q is granted %+v", user, algorithm, grant)
		}
		// The line it names grants the same read afresh and alone.
		alone, faults := Parse("keys", strings.Split(text, "\n")[grant.Line-1])
		if len(faults) != 0 || len(alone) != 1 {
			t.Fatalf("line %d gives %d keys and %v", grant.Line, len(alone), faults)
		}
		again, err := Decide(alone, account, attempt)
		again.Line = grant.Line
		if err != nil || !reflect.DeepEqual(again, grant) {
			t.Errorf("alone it is granted %+v, %v\nnot %+v", again, err, grant)
		}
		holder := public
		if certificate, is := public.(*ssh.Certificate); is {
			holder = certificate.Key
			if !alone[0].Authority || alone[0].blob != string(certificate.SignatureKey.Marshal()) {
				t.Errorf("a certificate of another authority is granted %+v", grant)
			}
		} else if alone[0].Authority || alone[0].blob != string(public.Marshal()) {
			t.Errorf("another key is granted %+v", grant)
		}
		if grant.Fingerprint != ssh.FingerprintSHA256(holder) || weak(holder) != "" {
			t.Errorf("%s is granted %+v", holder.Type(), grant)
		}
	})
}
