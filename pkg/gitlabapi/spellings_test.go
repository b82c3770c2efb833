package gitlabapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// formWithFiles returns the body of a form and the header that goes with it. A part is a name and a value, or
// a name, a value and the name of a file.
func formWithFiles(parts ...[]string) (body string, header http.Header) {
	var b strings.Builder
	for _, part := range parts {
		b.WriteString("--line\r\nContent-Disposition: form-data; name=\"" + part[0] + `"`)
		if len(part) > 2 {
			b.WriteString(`; filename="` + part[2] + "\"\r\nContent-Type: application/octet-stream")
		}
		b.WriteString("\r\n\r\n" + part[1] + "\r\n")
	}
	return b.String() + "--line--\r\n", http.Header{"Content-Type": {"multipart/form-data; boundary=line"}}
}

// What real clients write in their own way is read as they mean it, and what has two meanings is refused.
func TestSpellingsOfParameters(t *testing.T) {
	t.Parallel()
	form := func(text string) request {
		return request{function: "issue", method: "POST", target: ownTokens, bearer: "owner", form: text}
	}
	object := func(text string) request {
		return request{function: "issue", method: "POST", target: ownTokens, bearer: "owner", json: text}
	}
	query := func(text string) request {
		return request{function: "tokens", method: "GET", target: "/api/v4/personal_access_tokens?" + text, bearer: "owner"}
	}
	upload := func(parts ...[]string) request {
		body, header := formWithFiles(append(parts, []string{"name", "n"}, []string{"scopes[]", "api"})...)
		return request{function: "issue", method: "POST", target: ownTokens, bearer: "owner", body: body, header: header}
	}
	both := form("name=n&scopes=read_api")
	both.target += "?scopes=api"
	same := form("name=n&scopes[]=api")
	same.target += "?scopes[]=api"
	const badDay, badTime = "expires_at is invalid (write a day as YYYY-MM-DD)", "created_after is invalid (write a time as YYYY-MM-DDThh:mm:ssZ, or a day as YYYY-MM-DD)"
	flag := func(text string) request {
		return request{function: "settings", method: "POST", target: featurePath, bearer: "root", form: text}
	}
	const strange = "name of a parameter is not ASCII"
	const twice, granular = "is given more than once", "granular_scopes is not supported: use scopes"
	for name, c := range map[string]struct {
		request
		refusal string // "" for none
	}{
		"a semicolon in a form is text":               {form("name=n&scopes[]=api&description=a; b"), ""},
		"a semicolon in a query is text":              {query("search=a;b"), ""},
		"a file of another parameter is ignored":      {upload([]string{"avatar", strings.Repeat("\xff", 200_000), "a.png"}), ""},
		"a file of no parameter is ignored":           {upload([]string{"", "x", "a.png"}), ""},
		"a file for a parameter is refused":           {upload([]string{"description", "x", "a.txt"}), "description is invalid"},
		"a file for a list is refused":                {upload([]string{"allowed_cidrs[]", "10.0.0.0/8", "a.txt"}), "allowed_cidrs is invalid"},
		"a file for sudo is refused":                  {upload([]string{"sudo", "2", "a.txt"}), "sudo is invalid"},
		"values of a form with files stay small":      {upload([]string{"description", strings.Repeat("x", 70_000)}), "body is too large (maximum is 65536 bytes)"},
		"the same value twice in a query":             {query("state=active&state=active"), ""},
		"the same value twice in a form":              {form("name=n&name=n&scopes[]=api&scopes[]=api"), ""},
		"two values in a query":                       {query("state=active&state=inactive"), "state " + twice},
		"a value and nothing":                         {query("state=active&state="), "state " + twice},
		"the same value in a query and a body":        {same, ""},
		"two values in a query and a body":            {both, "scopes " + twice},
		"a list twice in an object":                   {object(`{"name":"n","scopes":["api"],"scopes":["read_api"]}`), "scopes " + twice},
		"a list and a text in an object":              {object(`{"name":"n","scopes":["api"],"scopes":"read_api"}`), "scopes " + twice},
		"a list under both of its names":              {object(`{"name":"n","scopes":["api"],"scopes[]":["read_api"]}`), "scopes " + twice},
		"networks twice in an object":                 {object(`{"name":"n","scopes":["api"],"allowed_cidrs":["10.0.0.0/8"],"allowed_cidrs":["0.0.0.0/0"]}`), "allowed_cidrs " + twice},
		"the same list twice in an object":            {object(`{"name":"n","scopes":["api"],"scopes":["api"]}`), ""},
		"a list in both spellings of a form":          {form("name=n&scopes[]=api&scopes=read_api"), "scopes " + twice},
		"a list as an object of a form":               {form("name=n&scopes[0]=api"), "scopes is invalid"},
		"an unknown object of a form":                 {form("name=n&scopes[]=api&user[name]=x&_method[]="), ""},
		"sudo as a list":                              {form("name=n&scopes[]=api&sudo[]=2"), "sudo is invalid"},
		"sudo as an object":                           {form("name=n&scopes[]=api&sudo[id]=2"), "sudo is invalid"},
		"sudo in capitals":                            {query("SUDO=2"), "sudo is misspelled"},
		"sudo in other brackets":                      {query("[sudo]=2"), "sudo is misspelled"},
		"sudo with a space":                           {query("sudo%20=2"), "sudo is misspelled"},
		"sudo in an object, capital":                  {object(`{"name":"n","scopes":["api"],"Sudo":"root"}`), "sudo is misspelled"},
		"sudo in an object, as a list":                {object(`{"name":"n","scopes":["api"],"sudo[]":["root"]}`), "sudo is invalid"},
		"sudo twice":                                  {query("sudo=2&sudo=1"), "sudo " + twice},
		"a bearer as a list":                          {query("private_token[]=x"), "private_token is invalid"},
		"a bearer in capitals":                        {query("Private_Token=x"), "private_token is misspelled"},
		"networks as an object":                       {form("name=n&scopes[]=api&allowed_cidrs[a]=10.0.0.0/8"), "allowed_cidrs is invalid"},
		"a network with bits behind its length":       {form("name=n&scopes[]=api&allowed_cidrs=10.0.0.5/8"), "allowed_cidrs has a block with bits behind its length (did you mean 10.0.0.0/8?)"},
		"networks in capitals":                        {form("name=n&scopes[]=api&Allowed_CIDRs[]=10.0.0.0/8"), "allowed_cidrs is misspelled"},
		"the family in capitals":                      {request{function: "revoke", method: "DELETE", target: "/api/v4/personal_access_tokens/self?Family=true", bearer: "owner"}, "family is misspelled"},
		"a rank in capitals":                          {request{function: "directory", method: "PUT", target: "/api/v4/users/3", bearer: "root", form: "Admin=false"}, "admin is misspelled"},
		"external in capitals":                        {request{function: "directory", method: "PUT", target: "/api/v4/users/3", bearer: "root", form: "External=true"}, "external is misspelled"},
		"groups in capitals":                          {request{function: "directory", method: "PUT", target: "/api/v4/users/3", bearer: "root", form: "Can_Create_Group=false"}, "can_create_group is misspelled"},
		"a level in capitals":                         {request{function: "issue", method: "POST", target: "/api/v4/projects/2/access_tokens", bearer: "root", form: "name=n&scopes[]=api&Access_Level=10"}, "access_level is misspelled"},
		"an overlap in capitals":                      {request{function: "issue", method: "POST", target: "/api/v4/personal_access_tokens/self/rotate", bearer: "owner", form: "Overlap_Seconds=60"}, "overlap_seconds is misspelled"},
		"scopes in capitals":                          {form("name=n&SCOPES[]=api"), "scopes is misspelled"},
		"a day in capitals":                           {form("name=n&scopes[]=api&Expires_At=2026-06-02"), "expires_at is misspelled"},
		"granular scopes in capitals":                 {form("name=n&scopes[]=api&Granular_Scopes[]=user"), granular},
		"a bearer of OAuth in capitals":               {request{function: "tokens", method: "GET", target: "/api/v4/personal_access_tokens?Access_Token=x"}, "access_token is misspelled"},
		"a bearer of RFC 6750 in capitals":            {request{function: "tokens", method: "GET", target: "/api/v4/personal_access_tokens?Bearer_Token=x"}, "bearer_token is misspelled"},
		"what no request reads in capitals":           {query("Scopes=api"), ""},
		"a rank as a list":                            {request{function: "directory", method: "PUT", target: "/api/v4/users/3", bearer: "root", form: "admin[]=false"}, "admin is invalid"},
		"a day as a list":                             {form("name=n&scopes[]=api&expires_at[]=2026-06-02"), "expires_at is invalid"},
		"a day in another form":                       {form("name=n&scopes[]=api&expires_at=02.06.2026"), badDay},
		"a day with a zone without a colon":           {object(`{"name":"n","scopes":["api"],"expires_at":"2026-06-02T00:00:00+0000"}`), ""},
		"a day with a zone behind a space":            {object(`{"name":"n","scopes":["api"],"expires_at":"2026-06-02 00:00:00 +0000"}`), ""},
		"a day with a zone whose plus became a space": {form("name=n&scopes[]=api&expires_at=2026-06-02T00:00:00+0000"), ""},
		"a time with a zone without a colon":          {query("created_after=2026-01-02T03:04:05%2B0000"), ""},
		"a time whose plus became a space":            {query("created_after=2026-01-02T03:04:05+00:00"), ""},
		"a time in another form":                      {query("created_after=yesterday"), badTime},
		"granular scopes alone":                       {object(`{"name":"n","granular_scopes":[{"access":"user"}]}`), granular},
		"granular scopes beside scopes":               {object(`{"name":"n","scopes":["api"],"granular_scopes":[{"access":"user"}]}`), granular},
		"granular scopes in a form":                   {form("name=n&scopes[]=api&granular_scopes[][access]=user"), granular},
		"granular scopes of nothing":                  {object(`{"name":"n","scopes":["api"],"granular_scopes":null}`), granular},
		"an empty list of granular scopes":            {object(`{"name":"n","scopes":["api"],"granular_scopes":[]}`), granular},
		"no granular scopes in a form":                {form("name=n&scopes[]=api&granular_scopes="), granular},
		"a camel's day":                               {object(`{"name":"n","scopes":["api"],"expiresAt":"2026-06-02"}`), "expires_at is misspelled"},
		"a day with a dash":                           {form("name=n&scopes[]=api&expires-at=2026-06-02"), "expires_at is misspelled"},
		"scopes with a long s":                        {object(`{"name":"n","\u017fcopes":["api"],"scopes":["api"]}`), strange},
		"sudo with a Cyrillic o":                      {query("sud%D0%BE=2"), strange},
		"sudo in wide letters":                        {query("%EF%BD%93udo=2"), strange},
		"sudo behind a byte order mark":               {form("%EF%BB%BFsudo=2&name=n&scopes[]=api"), "sudo is misspelled"},
		"sudo with a space of no width":               {object(`{"name":"n","scopes":["api"],"\u200bsudo":"root"}`), "sudo is misspelled"},
		"sudo with half a character":                  {object(`{"name":"n","scopes":["api"],"\ud800sudo":"root"}`), "sudo is misspelled"},
		"sudo with a byte that is none of UTF-8":      {query("%FFsudo=2"), "sudo is misspelled"},
		"sudo of a file, Cyrillic":                    {upload([]string{"sud\u043e", "2", "a.txt"}), strange},
		"sudo in quotes":                              {query("%22sudo%22=2"), "sudo is misspelled"},
		"sudo with a dot":                             {query("sudo.=2"), "sudo is misspelled"},
		"sudo with a vertical tab":                    {query("sudo%0B=2"), "sudo is misspelled"},
		"sudo in the body of a GET":                   {request{function: "tokens", method: "GET", target: "/api/v4/personal_access_tokens", form: "SUDO=2"}, "sudo is misspelled"},
		"sudo in an object of a GET":                  {request{function: "tokens", method: "GET", target: "/api/v4/personal_access_tokens", json: `{"sudo":["2"]}`}, "sudo is invalid"},
		"a filter in the body of a GET":               {request{function: "tokens", method: "GET", target: "/api/v4/personal_access_tokens", bearer: "owner", form: "state=gone"}, "state does not have a valid value"},
		"a GET with an object of nothing":             {request{function: "tokens", method: "GET", target: "/api/v4/personal_access_tokens", bearer: "owner", json: "{}"}, ""},
		"a GET with null":                             {request{function: "tokens", method: "GET", target: "/api/v4/personal_access_tokens", bearer: "owner", json: "null"}, ""},
		"a filter in capitals":                        {query("State=active"), "state is misspelled"},
		"a file in capitals":                          {upload([]string{"Scopes", "api", "a.txt"}), "scopes is misspelled"},
		"the path of a group to delete":               {request{function: "revoke", method: "DELETE", target: "/api/v4/groups/1", bearer: "root", form: "Full_Path=wrong"}, "full_path is misspelled"},
		"the subgroups of a member":                   {request{function: "directory", method: "DELETE", target: "/api/v4/groups/1/members/3?Skip_Subresources=true", bearer: "root"}, "skip_subresources is misspelled"},
		"the end of a member":                         {request{function: "directory", method: "PUT", target: "/api/v4/groups/1/members/3", bearer: "root", form: "access_level=10&Expires_At=2026-06-02"}, "expires_at is misspelled"},
		"the namespace of a project":                  {request{function: "directory", method: "POST", target: "/api/v4/projects", bearer: "owner", form: "name=n&Namespace_Id=1"}, "namespace_id is misspelled"},
		"the visibility of a project":                 {request{function: "directory", method: "POST", target: "/api/v4/projects", bearer: "owner", form: "name=n&Visibility=private"}, "visibility is misspelled"},
		"the parent of a group":                       {request{function: "directory", method: "POST", target: "/api/v4/groups", bearer: "owner", form: "name=n&path=n&Parent_Id=1"}, "parent_id is misspelled"},
		"the user of a list":                          {query("User_Id=3"), "user_id is misspelled"},
		"the rank of a list":                          {request{function: "directory", method: "GET", target: "/api/v4/users?Admins=true", bearer: "root"}, "admins is misspelled"},
		"a bearer of OAuth as a list":                 {request{function: "tokens", method: "GET", target: "/api/v4/personal_access_tokens?access_token[]=x"}, "access_token is invalid"},
		"granular scopes of an impersonation token":   {request{function: "issue", method: "POST", target: "/api/v4/users/2/impersonation_tokens", bearer: "root", form: "name=n&scopes[]=api&granular_scopes[][access]=user"}, granular},
		"granular scopes of a project's token":        {request{function: "issue", method: "POST", target: "/api/v4/projects/2/access_tokens", bearer: "root", form: "name=n&scopes[]=api&granular_scopes[][access]=user"}, granular},
		"what no request reads in Cyrillic":           {query("%D0%B0=2"), strange},
		"a key of an object in Cyrillic":              {form("name=n&scopes[]=api&user[%D0%B0]=2"), ""},
		"a life that is no number":                    {form("name=n&scopes[]=api&expires_in=6e1"), "expires_in is invalid"},
		"a visibility as a list":                      {request{function: "directory", method: "PUT", target: "/api/v4/groups/1", bearer: "root", form: "visibility[]=private"}, "visibility is invalid"},
		"no limit, and one in capitals":               {request{function: "settings", method: "PUT", target: "/api/v4/application/settings", bearer: "root", form: "max_personal_access_token_lifetime=&Max_Personal_Access_Token_Lifetime=30"}, "max_personal_access_token_lifetime is misspelled"},
		"a flag for an empty project":                 {flag("value=false&project="), "project is empty"},
		"a life of a rotation, camel":                 {request{function: "issue", method: "POST", target: "/api/v4/personal_access_tokens/self/rotate", bearer: "owner", form: "expiresIn=60"}, "expires_in is misspelled"},
		"events of an author in capitals":             {request{function: "settings", method: "GET", target: "/api/v4/audit_events?author_id=-1&Author_Id=2", bearer: "root"}, "author_id is misspelled"},
		"a flag for null":                             {request{function: "settings", method: "POST", target: featurePath, bearer: "root", json: `{"value":false,"group":null}`}, "group is empty"},
		"a flag for an empty group and more":          {flag("value=false&group=&user=&project="), "user is empty"},
		"a flag for an empty kind that is none here":  {flag("value=false&runner="), "runner is empty"},
		"a flag as the Go client sends it":            {flag("value=true&key=&feature_group=&user=&group=&namespace=&project=&repository=&force=false"), ""},
		"a flag for one and an empty other":           {flag("value=true&project=&user=owner"), ""},
		"a flag for a project in capitals":            {flag("value=false&Project=acme/web"), "project is misspelled"},
		"a flag for a runner in capitals":             {flag("value=false&Runner=7"), "runner is misspelled"},
		"a flag for a list of runners":                {flag("value=false&runner[]=7"), "runner is invalid"},
		"no limit twice":                              {request{function: "settings", method: "PUT", target: "/api/v4/application/settings", bearer: "root", form: "max_personal_access_token_lifetime=&max_personal_access_token_lifetime="}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if strings.Contains(name, "sudo") { // others than administrators learn nothing of the value
				c.bearer = "root"
			}
			for _, door := range []func(testing.TB, *world, request) response{throughHTTP, throughLambdaInBase64} {
				got := door(t, w, c.request)
				switch {
				case c.refusal == "" && got.status/100 != 2:
					t.Errorf("%d %s", got.status, got.body)
				case c.refusal != "" && (got.status != http.StatusBadRequest || strings.TrimSpace(got.body) != `{"error":"`+c.refusal+`"}`):
					t.Errorf("%d %s, want %q", got.status, got.body, c.refusal)
				}
			}
		})
	}
}

// Breaks if a part of a form, or a whole body, is passed over because it cannot be read: a request without
// its sudo, its day or its networks does something other than meant.
func TestBodiesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	part := func(disposition string) string {
		return "--line\r\n" + disposition + "\r\n\r\n2\r\n--line--\r\n"
	}
	const form, files, sudo = "application/x-www-form-urlencoded", "multipart/form-data; boundary=line", `Content-Disposition: form-data; name="sudo"`
	const invalid = `400 {"error":"body is invalid"}`
	for name, c := range map[string]struct {
		body   string
		header http.Header
		want   string
	}{
		"a part whose name is given twice":   {part(sudo + `; name="x"`), header("Content-Type", files), invalid},
		"a part that is an attachment":       {part(`Content-Disposition: attachment; name="sudo"`), header("Content-Type", files), invalid},
		"a part without a disposition":       {part("Content-Type: text/plain"), header("Content-Type", files), invalid},
		"a part with a quote that is open":   {part(`Content-Disposition: form-data; name="sudo`), header("Content-Type", files), invalid},
		"a part without a name":              {part(`Content-Disposition: form-data; name=""`), header("Content-Type", files), invalid},
		"another boundary":                   {part(sudo), header("Content-Type", "multipart/form-data; boundary=other"), invalid},
		"no boundary":                        {part(sudo), header("Content-Type", "multipart/form-data"), invalid},
		"a form without parts":               {"--line--\r\n", header("Content-Type", files), "200 "},
		"two types":                          {"sudo=2", http.Header{"Content-Type": {form, "application/json"}}, `400 {"error":"header CONTENT-TYPE is given more than once"}`},
		"a compressed form":                  {"sudo=2", http.Header{"Content-Type": {form}, "Content-Encoding": {"br"}}, `415 {"error":"The provided content-encoding 'br' is not supported."}`},
		"a form that says it is not":         {"sudo=2", http.Header{"Content-Type": {form}, "Content-Encoding": {"Identity"}}, `200 {"id":2,`},
		"a body of a GET of an unknown type": {"sudo=2", header("Content-Type", "text/plain"), `415 {"error":"The provided content-type 'text/plain' is not supported."}`},
		"a body of a GET":                    {"sudo=2", header("Content-Type", form), `200 {"id":2,`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for _, door := range []func(testing.TB, *world, request) response{throughHTTP, throughLambdaInBase64} {
				got := door(t, w, request{function: "directory", method: "GET", target: "/api/v4/user", bearer: "root", body: c.body, header: c.header})
				if text := fmt.Sprintf("%d %s", got.status, got.body); !strings.HasPrefix(text, c.want) {
					t.Errorf("%s, want %s", text, c.want)
				}
			}
		})
	}
}
