// Vultr's own Go client lives through the life of a machine at the API that GAXX_VULTR_URL names.
//
// Each line of stdout says a step that the client found to be as it expects; the first that is not ends the program.
package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/vultr/govultr/v3"
)

const (
	region = "ams"
	plan   = "vc2-1c-1gb"
	system = 2136
	bootS  = 30
	many   = 5
)

// bearer puts the token into every call, as oauth2 does for the vendor's plugin.
type bearer struct{ token string }

func (b bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	own := request.Clone(request.Context())
	own.Header.Set("Authorization", "Bearer "+b.token)
	return http.DefaultTransport.RoundTrip(own)
}

func main() {
	ctx := context.Background()
	client := connect(os.Getenv("VULTR_API_KEY"))
	account(ctx, client)
	offers(ctx, client)
	group := firewall(ctx, client)
	network, key := network(ctx, client), key(ctx, client)
	machine(ctx, client, group, network, key)
	pages(ctx, client)
	gone(ctx, client, group, network, key)
	stranger(ctx)
}

func connect(token string) *govultr.Client {
	client := govultr.NewClient(&http.Client{Transport: bearer{token}})
	must(client.SetBaseURL(os.Getenv("GAXX_VULTR_URL")))
	client.SetRetryLimit(0)
	client.SetRateLimit(time.Millisecond)
	return client
}

func account(ctx context.Context, client *govultr.Client) {
	found, _, err := client.Account.Get(ctx)
	must(err)
	check(len(found.ACL) > 0, "the account has rights: %v", found.ACL)
	say("account")
}

func offers(ctx context.Context, client *govultr.Client) {
	plans, meta, _, err := client.Plan.List(ctx, "", nil)
	must(err)
	check(meta.Total == len(plans) && len(plans) > 0, "plans are counted: %d of %d", len(plans), meta.Total)
	check(plans[0].MonthlyCost > 0 && len(plans[0].Locations) > 0, "a plan has a price and places: %+v", plans[0])
	regions, _, _, err := client.Region.List(ctx, nil)
	must(err)
	systems, _, _, err := client.OS.List(ctx, nil)
	must(err)
	check(len(regions) > 0 && len(systems) > 0, "there are regions and systems")
	say("plans, regions, systems")
}

func firewall(ctx context.Context, client *govultr.Client) string {
	group, _, err := client.FirewallGroup.Create(ctx, &govultr.FirewallGroupReq{Description: "web"})
	must(err)
	must(client.FirewallGroup.Update(ctx, group.ID, &govultr.FirewallGroupReq{Description: "gaxx:stack=prod"}))
	again, _, err := client.FirewallGroup.Get(ctx, group.ID)
	must(err)
	check(again.Description == "gaxx:stack=prod", "a description changes: %+v", again)

	order := &govultr.FirewallRuleReq{
		IPType: "v4", Protocol: "tcp", Subnet: "203.0.113.0", SubnetSize: 24, Port: "22", Notes: "ssh",
	}
	rule, _, err := client.FirewallRule.Create(ctx, group.ID, order)
	must(err)
	check(rule.ID > 0 && rule.Port == "22" && rule.Subnet == "203.0.113.0", "a rule is as ordered: %+v", rule)
	_, _, err = client.FirewallRule.Create(ctx, group.ID, order)
	check(err != nil, "the same rule is made once")
	rules, meta, _, err := client.FirewallRule.List(ctx, group.ID, nil)
	must(err)
	check(len(rules) == 1 && meta.Total == 1, "one rule is listed: %+v", rules)
	again, _, err = client.FirewallGroup.Get(ctx, group.ID)
	must(err)
	check(again.RuleCount == 1, "a group counts its rules: %+v", again)
	must(client.FirewallRule.Delete(ctx, group.ID, rule.ID))
	_, _, err = client.FirewallRule.Get(ctx, group.ID, rule.ID)
	refused(err, "Firewall rule ID not found")
	say("firewall")
	return group.ID
}

func network(ctx context.Context, client *govultr.Client) string {
	order := &govultr.VPCReq{Region: region, Description: "web", V4Subnet: "10.7.0.0", V4SubnetMask: 24}
	made, _, err := client.VPC.Create(ctx, order)
	must(err)
	check(made.V4Subnet == "10.7.0.0" && made.V4SubnetMask == 24, "a network is as ordered: %+v", made)
	must(client.VPC.Update(ctx, made.ID, "changed"))
	again, _, err := client.VPC.Get(ctx, made.ID)
	must(err)
	check(again.Description == "changed", "its description changes: %+v", again)
	say("network")
	return made.ID
}

func key(ctx context.Context, client *govultr.Client) string {
	made, _, err := client.SSHKey.Create(ctx, &govultr.SSHKeyReq{Name: "ada", SSHKey: "ssh-ed25519 AAAA ada"})
	must(err)
	must(client.SSHKey.Update(ctx, made.ID, &govultr.SSHKeyReq{Name: "bob"}))
	again, _, err := client.SSHKey.Get(ctx, made.ID)
	must(err)
	check(again.Name == "bob" && again.SSHKey == "ssh-ed25519 AAAA ada", "a key is renamed: %+v", again)
	say("key")
	return made.ID
}

func machine(ctx context.Context, client *govultr.Client, group, network, key string) {
	data := base64.StdEncoding.EncodeToString([]byte("#cloud-config\n"))
	order := &govultr.InstanceCreateReq{
		Region: region, Plan: plan, OsID: system, Label: "web-1", Hostname: "web-1", Tags: []string{"a", "b"},
		FirewallGroupID: group, SSHKeys: []string{key}, AttachVPC: []string{network}, UserData: data,
		EnableIPv6: govultr.BoolToBoolPtr(false), ActivationEmail: govultr.BoolToBoolPtr(false),
		Backups: "disabled", UserScheme: "root",
	}
	made, _, err := client.Instance.Create(ctx, order)
	must(err)
	check(made.ID != "" && made.Status == "pending", "it begins as pending: %+v", made)
	running := wait(ctx, client, made.ID)
	same := running.Label == "web-1" && running.Region == region && running.Plan == plan && running.OsID == system &&
		running.FirewallGroupID == group && reflect.DeepEqual(running.Tags, []string{"a", "b"})
	check(len(running.VPCs) == 1 && running.VPCs[0].Subnet == "10.7.0.0/24", "it says its network: %+v", running.VPCs)
	check(same && strings.HasPrefix(running.MainIP, "127."), "it is as ordered: %+v", running)
	stored, _, err := client.Instance.GetUserData(ctx, made.ID)
	must(err)
	check(stored.Data == data, "its user-data is as sent: %+v", stored)
	schedule, _, err := client.Instance.GetBackupSchedule(ctx, made.ID)
	must(err)
	check(schedule.Enabled != nil && !*schedule.Enabled, "it has no backups: %+v", schedule)

	change := &govultr.InstanceUpdateReq{Label: "web-2", Tags: []string{"c"}, Plan: "vc2-1c-2gb"}
	changed, _, err := client.Instance.Update(ctx, made.ID, change)
	must(err)
	check(changed.Label == "web-2" && reflect.DeepEqual(changed.Tags, []string{"c"}), "it changes: %+v", changed)
	listed, meta, _, err := client.Instance.List(ctx, &govultr.ListOptions{Label: "web-2"})
	must(err)
	check(len(listed) == 1 && meta.Total == 1 && listed[0].ID == made.ID, "it is found by its label: %+v", listed)
	networks, _, _, err := client.Instance.ListVPCInfo(ctx, made.ID, nil)
	must(err)
	check(len(networks) == 1 && networks[0].ID == network, "it is in its network: %+v", networks)

	refused(client.VPC.Delete(ctx, network), "attached to this VPC network")
	alone, _, err := client.Instance.Update(ctx, made.ID, &govultr.InstanceUpdateReq{DetachVPC: []string{network}})
	must(err)
	check(len(alone.VPCs) == 0, "it leaves its network: %+v", alone.VPCs)
	must(client.Instance.Delete(ctx, made.ID))
	_, _, err = client.Instance.Get(ctx, made.ID)
	refused(err, "invalid instance ID")
	say("machine")
}

func wait(ctx context.Context, client *govultr.Client, id string) *govultr.Instance {
	for end := time.Now().Add(bootS * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		found, _, err := client.Instance.Get(ctx, id)
		must(err)
		if found.Status == "active" && found.PowerStatus == "running" {
			return found
		}
	}
	check(false, "it does not run after %d s", bootS)
	return nil
}

func pages(ctx context.Context, client *govultr.Client) {
	made := map[string]bool{}
	for number := range many {
		order := &govultr.SSHKeyReq{Name: fmt.Sprintf("key-%d", number), SSHKey: "ssh-ed25519 AAAA"}
		key, _, err := client.SSHKey.Create(ctx, order)
		must(err)
		made[key.ID] = true
	}
	options, seen := &govultr.ListOptions{PerPage: 2}, 0
	for {
		keys, meta, _, err := client.SSHKey.List(ctx, options)
		must(err)
		seen += len(keys)
		if meta.Links.Next == "" {
			break
		}
		options.Cursor = meta.Links.Next
	}
	check(seen == many+1, "all pages hold %d keys, not %d", many+1, seen)
	for id := range made {
		must(client.SSHKey.Delete(ctx, id))
	}
	say("pages")
}

func gone(ctx context.Context, client *govultr.Client, group, network, key string) {
	must(client.FirewallGroup.Delete(ctx, group))
	_, _, err := client.FirewallGroup.Get(ctx, group)
	refused(err, "Firewall group ID not found")
	must(client.VPC.Delete(ctx, network))
	_, _, err = client.VPC.Get(ctx, network)
	refused(err, "Invalid VPC ID")
	must(client.SSHKey.Delete(ctx, key))
	_, _, err = client.SSHKey.Get(ctx, key)
	refused(err, "Invalid ssh key")
	say("gone")
}

func stranger(ctx context.Context) {
	_, _, _, err := connect("WRONG").Instance.List(ctx, nil)
	refused(err, "Invalid API token")
	say("stranger")
}

func refused(err error, words string) {
	check(err != nil && strings.Contains(err.Error(), words), "it is refused with %q: %v", words, err)
}

func must(err error) {
	check(err == nil, "no error: %v", err)
}

func check(holds bool, words string, values ...any) {
	if !holds {
		fmt.Fprintf(os.Stderr, "not so: "+words+"\n", values...)
		os.Exit(1)
	}
}

func say(step string) { fmt.Println(step) }
