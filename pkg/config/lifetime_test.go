package config_test

import (
	"strings"
	"testing"

	"latchkey/pkg/config"
)

// Tokens beyond a limit end also where nobody can be told.
func TestLifetimeWithoutMails(t *testing.T) {
	c, err := config.ReadLifetime(enough("SENDER_ADDRESS="))
	if err != nil || c.Sender != "" || c.Shards != 16 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := config.ReadScan(enough("SENDER_ADDRESS=")); err == nil {
		t.Error("a scan without a sender can start")
	}
	for _, wrong := range []string{"SENDER_ADDRESS=nobody", "SCAN_WORKERS=0", "PUBLIC_URL=", "OLD_TABLE=latchkey"} {
		name, _, _ := strings.Cut(wrong, "=")
		if _, err := config.ReadLifetime(enough(wrong)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func TestWhatThePlannerNeeds(t *testing.T) {
	plans := []string{"SCHEDULE_GROUP=g", "LIFETIME_RUN_ARN=m", "LIFETIME_ROLE_ARN=r", "UNSTARTED_QUEUE_ARN=q"}
	c, err := config.ReadSettings(enough(plans...))
	if err != nil || c.Group+c.Run+c.Role+c.Queue != "gmrq" || c.Prefix != "lkpat_" {
		t.Errorf("%v", err)
	}
	_, err = config.ReadSettings(enough("RETENTION_DAYS=0"))
	for _, missing := range append(plans, "RETENTION_DAYS=") {
		name, _, _ := strings.Cut(missing, "=")
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("no fault about %s in %v", name, err)
		}
	}
}
