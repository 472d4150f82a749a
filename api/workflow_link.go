package api

import (
	"net/url"
	"strings"

	"github.com/offerflow/offerflow/workflows"
)

// linkConversions adds the pages of conversions' workflows.
func (s *Server) linkConversions(views []conversionView) {
	for i := range views {
		_, views[i].WorkflowURL = s.workflowLink(views[i].WorkflowID)
	}
}

func (s *Server) linkHistories(histories []conversionHistory) {
	for i := range histories {
		_, histories[i].WorkflowURL = s.workflowLink(histories[i].WorkflowID)
	}
}

// linkMemberOffer adds the workflows of a member's last click on an offer and of its conversions.
func (s *Server) linkMemberOffer(offer *memberOffer) {
	offer.WorkflowID = workflows.ClickWorkflowID(offer.LastClickID)
	_, offer.WorkflowURL = s.workflowLink(offer.WorkflowID)
	for i := range offer.Events {
		if event := &offer.Events[i]; event.workflowID != "" {
			event.WorkflowID, event.WorkflowURL = s.workflowLink(event.workflowID)
		}
	}
}

// workflowLink is a workflow's id and its page in the Temporal UI; the page is nil where the address of the
// UI is not configured. The slash of an id is part of the id.
func (s *Server) workflowLink(id string) (workflowID, address *string) {
	if s.Config.TemporalUIURL == "" {
		return &id, nil
	}
	page := strings.TrimSuffix(s.Config.TemporalUIURL, "/") + "/namespaces/" + url.PathEscape(s.Config.TemporalNamespace) + "/workflows/" + url.PathEscape(id)
	return &id, &page
}
