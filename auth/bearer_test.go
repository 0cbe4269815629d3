package auth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gabblehq/chat/auth"
	"github.com/stretchr/testify/require"
)

func TestBearerToken(t *testing.T) {
	for name, c := range map[string]struct {
		headers []string
		want    string
	}{
		"usual":                      {[]string{"Bearer abc"}, "abc"},
		"lower case scheme":          {[]string{"bearer abc"}, "abc"},
		"odd case scheme":            {[]string{"bEaReR abc"}, "abc"},
		"several spaces":             {[]string{"Bearer    abc "}, "abc"},
		"longest":                    {[]string{"Bearer " + strings.Repeat("a", 8192)}, strings.Repeat("a", 8192)},
		"all that is visible":        {[]string{"Bearer !|a.b-c_d~e+f/g=="}, "!|a.b-c_d~e+f/g=="},
		"none":                       {nil, ""},
		"empty header":               {[]string{""}, ""},
		"scheme only":                {[]string{"Bearer"}, ""},
		"scheme and spaces":          {[]string{"Bearer   "}, ""},
		"too long":                   {[]string{"Bearer " + strings.Repeat("a", 8193)}, ""},
		"another scheme":             {[]string{"Basic abc"}, ""},
		"scheme as prefix":           {[]string{"Bearerabc"}, ""},
		"two headers":                {[]string{"Bearer abc", "Bearer abc"}, ""},
		"two headers, one not ours":  {[]string{"Basic abc", "Bearer abc"}, ""},
		"two headers, one empty":     {[]string{"", "Bearer abc"}, ""},
		"two headers joined by hand": {[]string{"Bearer abc, Bearer def"}, ""},
		"tab":                        {[]string{"Bearer\tabc"}, ""},
		"control character":          {[]string{"Bearer a\x00c"}, ""},
		"line break":                 {[]string{"Bearer a\r\nX: c"}, ""},
		"not ASCII":                  {[]string{"Bearer äbc"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := auth.BearerToken(request(c.headers...))
			require.Equal(t, c.want, got)
			require.Equal(t, c.want != "", ok)
		})
	}
}

func TestBearerTokenLooksNowhereElse(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/ws?token=abc&access_token=abc&user=alice", strings.NewReader("access_token=abc"))
	r.Header.Set("Cookie", "token=abc")
	r.Header.Set("Sec-WebSocket-Protocol", "bearer, abc")
	r.Header.Set("Proxy-Authorization", "Bearer abc")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	_, ok := auth.BearerToken(r)
	require.False(t, ok)
}

func FuzzBearerToken(f *testing.F) {
	f.Add("Bearer abc")
	f.Add("bearer \x7f")
	f.Fuzz(func(t *testing.T, header string) {
		token, ok := auth.BearerToken(request(header))
		require.Equal(t, ok, token != "")
		require.LessOrEqual(t, len(token), 8192)
		require.NotContains(t, token, " ")
	})
}
