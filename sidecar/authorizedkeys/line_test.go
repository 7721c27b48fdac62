package authorizedkeys

import (
	"testing"
)

const (
	everythingGranted = "pty agent open listen rc"
	// fault is a line that Parse refuses, refused an attempt that Decide does.
	fault   = "fault"
	refused = "refused"
)

// lines are options in front of alice's key, what an attempt of hers gets, and
// what was seen of OpenSSH 9.2's sshd where that was something else.
//
// The attempt comes from 127.0.0.1 where no other address is given.
var lines = []struct {
	options string
	remote  string
	want    string
	sshd    string
}{
	{options: "", want: everythingGranted},

	// What is there to be taken away, and given back: the last word counts.
	{options: "restrict", want: "exec"},
	{options: "RESTRICT", want: "exec"},
	{options: "restrict,pty", want: "pty"},
	{options: "pty,restrict", want: "exec"},
	{options: "restrict,Port-Forwarding", want: "open listen"},
	{options: "restrict,agent-forwarding", want: "agent"},
	{options: "restrict,user-rc", want: "rc"},
	{options: "restrict,X11-forwarding", want: "exec"},
	{options: "restrict,pty,no-pty", want: "exec"},
	{options: "no-pty", want: "agent open listen rc"},
	{options: "no-agent-forwarding", want: "pty open listen rc"},
	{options: "NO-Port-Forwarding", want: "pty agent rc"},
	{options: "no-user-rc", want: "pty agent open listen"},
	{options: "no-X11-forwarding", want: everythingGranted},
	{options: "no-pty,pty", want: everythingGranted},
	{options: "pty,no-pty", want: "agent open listen rc"},
	{options: "touch-required", want: everythingGranted},
	{options: "no-touch-required", want: everythingGranted + " untouched"},
	{options: "no-touch-required,touch-required", want: everythingGranted},
	{options: "no-verify-required", want: everythingGranted},
	{options: "verify-required", want: fault, sshd: "lets in, as the key is no security key"},
	{options: "no-restrict", want: fault},
	{options: "no-cert-authority", want: fault},
	{options: "restict", want: fault},
	{options: "restrictt", want: fault},
	{options: "pty=yes", want: fault},
	{options: `pty"yes"`, want: fault},
	{options: `restrict="yes"`, want: fault},
	{options: "no-command", want: fault},
	{options: "nopty", want: fault},

	// Commas and blanks.
	{options: "restrict,", want: fault, sshd: "lets in"},
	{options: ",restrict", want: fault, sshd: "lets in"},
	{options: "restrict,,pty", want: fault, sshd: "lets in"},
	{options: "restrict, pty", want: fault},
	{options: "restrict pty", want: fault},
	{options: ",", want: fault, sshd: "lets in"},
	{options: "=", want: fault},

	// Quotes.
	{options: `command="true"`, want: everythingGranted + ` command="true"`},
	{options: `COMMAND="echo a b",no-pty`, want: `agent open listen rc command="echo a b"`},
	{options: `command="echo \"a, b\""`, want: everythingGranted + ` command="echo \"a, b\""`},
	{options: `command="echo \\"`, want: fault},
	{options: `command="echo \\\""`, want: everythingGranted + ` command="echo \\\\\""`},
	{options: `command="echo 'a\nb'"`, want: everythingGranted + ` command="echo 'a\\nb'"`},
	{options: `command="a=b,restrict"`, want: everythingGranted + ` command="a=b,restrict"`},
	{options: `command="true`, want: fault},
	{options: `command=true`, want: fault},
	{options: `command='true'`, want: fault},
	{options: `command="true"x`, want: fault},
	{options: `command="true""false"`, want: fault},
	{options: `command "true"`, want: fault},
	{options: `command= "true"`, want: fault},
	{options: `command=""`, want: fault, sshd: "lets in, and forces an empty command"},
	{options: `command="true",command="true"`, want: fault},
	{options: `command`, want: fault},
	{options: `comand="true"`, want: fault},
	{options: `restrict,command="true",pty`, want: `pty command="true"`},

	// What is not offered.
	{options: `environment="LD_PRELOAD=/tmp/x.so"`, want: fault, sshd: "lets in, without the variable"},
	{options: `environment="A=b"`, want: fault, sshd: "lets in, without the variable"},
	{options: `tunnel="0"`, want: everythingGranted},
	{options: `tunnel="any"`, want: everythingGranted},
	{options: `tunnel="x"`, want: fault},
	{options: `tunnel="-1"`, want: fault},

	// Where from.
	{options: `from="127.0.0.1"`, want: everythingGranted},
	{options: `from="127.0.0.1"`, remote: "::ffff:127.0.0.1", want: everythingGranted},
	{options: `from="127.0.0.2"`, want: refused},
	{options: `FROM="10.0.0.0/8,127.0.0.0/8"`, want: everythingGranted},
	{options: `from="127.0.0.0/8"`, remote: "127.5.6.7", want: everythingGranted},
	{options: `from="127.0.0.0/30"`, remote: "127.0.0.4", want: refused},
	{options: `from="127.0.0.0/30"`, remote: "127.0.0.3", want: everythingGranted},
	{options: `from="0.0.0.0/0"`, want: everythingGranted},
	{options: `from="::/0"`, want: refused},
	{options: `from="::/0"`, remote: "::1", want: everythingGranted},
	{options: `from="0.0.0.0/0"`, remote: "::1", want: refused},
	{options: `from="::1"`, remote: "::1", want: everythingGranted},
	{options: `from="0:0::1"`, remote: "::1", want: everythingGranted},
	{options: `from="127.0.0.?"`, want: everythingGranted},
	{options: `from="127.0.0.??"`, want: refused},
	{options: `from="127.*"`, want: everythingGranted},
	{options: `from="*.0.1"`, want: everythingGranted},
	{options: `from="*.0.2"`, want: refused},
	{options: `from="*"`, want: everythingGranted},
	{options: `from="*"`, remote: "::1", want: everythingGranted},
	{options: `from="::*"`, remote: "::1", want: everythingGranted},
	{options: `from="2001:DB8::*"`, remote: "2001:db8::5", want: everythingGranted},
	{options: `from="2001:db8::/32"`, remote: "2001:db8::5", want: everythingGranted},
	{options: `from="fe80::/10"`, remote: "fe80::1%eth0", want: everythingGranted},
	{options: `from="!fe80::/10,*"`, remote: "fe80::1%eth0", want: refused},
	{options: `from="127.0.0.0/8,!127.0.0.1"`, want: refused},
	{options: `from="!127.0.0.1,127.0.0.0/8"`, want: refused},
	{options: `from="!127.0.0.1,127.0.0.0/8"`, remote: "127.0.0.2", want: everythingGranted},
	{options: `from="!127.0.0.0/8,*"`, want: refused},
	{options: `from="!127.0.0.*,*"`, want: refused},
	{options: `from="!10.0.0.1,*"`, want: everythingGranted},
	{options: `from="!10.0.0.1"`, want: fault},
	{options: `from="localhost"`, want: fault},
	{options: `from="*.example.com,127.0.0.1"`, want: fault, sshd: "lets in"},
	{options: `from="*.be"`, want: fault},
	{options: `from="db*"`, want: fault},
	{options: `from="cafe"`, want: fault},
	{options: `from="127.0.0.1/8"`, want: fault},
	{options: `from="127.0.0.0/33"`, want: fault},
	{options: `from="127.0.0.0/"`, want: fault},
	{options: `from="127.0.0.0/-1"`, want: fault},
	{options: `from="127.0.0.0/08"`, want: fault, sshd: "lets in"},
	{options: `from="127.1"`, want: fault, sshd: "lets in"},
	{options: `from="127.0.0.01"`, want: fault, sshd: "lets in"},
	{options: `from="::ffff:127.0.0.1"`, want: fault},
	{options: `from="::1%lo"`, remote: "::1", want: fault},
	{options: `from="127.0.0.1, 127.0.0.2"`, want: fault, sshd: "lets in"},
	{options: `from="127.0.0.1,"`, want: fault},
	{options: `from=",127.0.0.1"`, want: fault},
	{options: `from="!"`, want: fault},
	{options: `from=""`, want: fault},
	{options: `from=127.0.0.1`, want: fault},
	{options: `from="127.0.0.1",from="127.0.0.1"`, want: fault},

	// Until when; the year 2199 is not yet over, 2001 is.
	{options: `expiry-time="21990101Z"`, want: everythingGranted + " expires=2199-01-01T00:00:00Z"},
	{options: `expiry-time="219901011314z"`, want: everythingGranted + " expires=2199-01-01T13:14:00Z"},
	{options: `expiry-time="21990101131415UTC"`, want: everythingGranted + " expires=2199-01-01T13:14:15Z"},
	{options: `expiry-time="20010101Z"`, want: refused},
	{options: `expiry-time="20010101"`, want: refused},
	{options: `expiry-time="21990101Z",expiry-time="20010101Z"`, want: refused},
	{options: `expiry-time="20010101Z",expiry-time="21990101Z"`, want: refused},
	{options: `expiry-time="19600101Z"`, want: refused},
	{options: `expiry-time="19700101Z"`, want: refused},
	{options: `expiry-time="2199"`, want: fault},
	{options: `expiry-time="2199010100Z"`, want: fault},
	{options: `expiry-time="21991301Z"`, want: fault},
	{options: `expiry-time="21990230Z"`, want: fault, sshd: "lets in: as the second of March"},
	{options: `expiry-time="2199-01-01"`, want: fault},
	{options: `expiry-time="21990101 Z"`, want: fault},
	{options: `expiry-time="219901 1Z"`, want: fault, sshd: "lets in"},
	{options: `expiry-time="+1990101Z"`, want: fault},
	{options: `expiry-time=""`, want: fault},
	{options: `expiry-time="Z"`, want: fault},
	{options: `expiry-time=21990101`, want: fault},

	// Forwarding; a port of 0 is any.
	{options: `permitopen="192.0.2.1:80"`, want: "pty agent open=192.0.2.1:80 listen rc"},
	{options: `permitopen="a:1",permitopen="b:*"`, want: "pty agent open=a:1 open=b:0 listen rc"},
	{options: `permitopen="[::1]:80"`, want: "pty agent open=::1:80 listen rc"},
	{options: `permitopen="[a]:80"`, want: "pty agent open=a:80 listen rc"},
	{options: `permitopen="*:80"`, want: "pty agent open=*:80 listen rc"},
	{options: `permitopen="a:80",no-port-forwarding`, want: "pty agent rc"},
	{options: `restrict,permitopen="a:80"`, want: "exec"},
	{options: `restrict,port-forwarding,permitopen="a:80"`, want: "open=a:80 listen"},
	{options: `permitopen="a:0"`, want: fault},
	{options: `permitopen="a:65536"`, want: fault},
	{options: `permitopen="a:http"`, want: fault, sshd: "lets in, where /etc/services has it"},
	{options: `permitopen="a"`, want: fault},
	{options: `permitopen="80"`, want: fault},
	{options: `permitopen="a:"`, want: fault},
	{options: `permitopen=":80"`, want: fault, sshd: "lets in, and permits nothing"},
	{options: `permitopen="*.example.com:80"`, want: fault, sshd: "lets in, and permits nothing"},
	{options: `permitopen="::1:80"`, want: fault},
	{options: `permitopen="[::1]80"`, want: fault},
	{options: `permitopen="[::1:80"`, want: fault},
	{options: `permitopen="a/80"`, want: fault, sshd: "lets in"},
	{options: `permitopen=a:80`, want: fault},
	{options: `permitopen=""`, want: fault},
	{options: `permitlisten="8080"`, want: "pty agent open listen=*:8080 rc"},
	{options: `permitlisten="*"`, want: "pty agent open listen=*:0 rc"},
	{options: `permitlisten="localhost:8080"`, want: "pty agent open listen=localhost:8080 rc"},
	{options: `permitlisten="127.*:8080",permitlisten="[::1]:9"`, want: "pty agent open listen=127.*:8080 listen=::1:9 rc"},
	{options: `permitlisten=":8080"`, want: "pty agent open listen=:8080 rc"},
	{options: `permitlisten="LOCALHOST:8080"`, want: fault, sshd: "lets in, and permits nothing"},
	{options: `permitlisten="0"`, want: fault},
	{options: `permitlisten="localhost:"`, want: fault},
	{options: `permitlisten="x y:80"`, want: fault, sshd: "lets in, and permits nothing"},

	// Certificates have tests of their own; this is a plain key.
	{options: `principals="inmanta"`, want: fault},
	{options: `cert-authority`, want: refused},
	{options: `cert-authority,principals="a,b"`, want: refused},
	{options: `cert-authority,principals="a,,b"`, want: fault},
	{options: `cert-authority,principals=""`, want: fault},
	{options: `cert-authority,principals="a",principals="b"`, want: fault},
	{options: `cert-authority="yes"`, want: fault},
}

// verdict is what an attempt of alice's with a line gets.
func verdict(line, remote string) string {
	keys, faults := Parse("keys", line)
	if len(faults) > 0 {
		return fault
	}
	if remote == "" {
		remote = "127.0.0.1"
	}
	grant, err := Decide(keys, account, from(alice.PublicKey(), remote))
	if err != nil {
		return refused
	}
	return summary(grant)
}

func TestLines(t *testing.T) {
	t.Parallel()
	for _, one := range lines {
		line := one.options
		if line != "" {
			line += " "
		}
		line += written(alice.PublicKey()) + " alice@example.com"
		if got := verdict(line, one.remote); got != one.want {
			t.Errorf("%s\nfrom %s\ngets %s\nwant %s", one.options, one.remote, got, one.want)
		}
	}
}
