package compose

import (
	"latchkey/pkg/administration"
	"latchkey/pkg/directory"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/store"
	"latchkey/pkg/sweep"
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
)

// What the store is for each use case: a Reader where it only reads.
var (
	_ lifecycle.IssueStore         = (*store.Table)(nil)
	_ lifecycle.BotStore           = (*store.Table)(nil)
	_ lifecycle.RevokeStore        = (*store.Table)(nil)
	_ lifecycle.TokenReader        = (*store.Reader)(nil)
	_ lifecycle.ListStore          = (*store.Reader)(nil)
	_ lifecycle.ProjectReader      = (*store.Reader)(nil)
	_ lifecycle.SettingsReader     = (*store.Reader)(nil)
	_ principal.Projects           = (*store.Reader)(nil)
	_ directory.Store              = (*store.Table)(nil)
	_ directory.Reader             = (*store.Reader)(nil)
	_ directory.ProjectReader      = (*store.Reader)(nil)
	_ administration.SwitchStore   = (*store.Table)(nil)
	_ administration.SwitchReader  = (*store.Reader)(nil)
	_ administration.TargetFinder  = (*store.Reader)(nil)
	_ administration.SettingsStore = (*store.Table)(nil)
	_ trail.Store                  = (*store.Reader)(nil)
	_ trail.Reader                 = (*store.Reader)(nil)
	_ verify.Store                 = (*store.Journal)(nil)
	_ trail.Recorder               = (*store.Journal)(nil)
	_ gitlabapi.AccountReader      = (*store.Reader)(nil)
	_ sweep.Index                  = (*store.Reader)(nil)
	_ sweep.Limits                 = (*store.Reader)(nil)
	_ sweep.Enforcement            = (*store.Reader)(nil)
	_ sweep.Projects               = (*store.Reader)(nil)
	_ sweep.Records                = (*store.Table)(nil)
	_ sweep.Ledger                 = (*store.Table)(nil)
	_ sweep.Revoker                = (*store.Table)(nil)
	_ sweep.Accounts               = (*store.Reader)(nil)
)
