/* What a tenant's supervisor says. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "vmsup/base/fd.h"
#include "vmsup/daemon/daemon.h"

static void take_fd(int *to, int *from)
{
	vms_fd_close(to);
	*to = vms_fd_steal(from);
}

static void on_event(struct vms_tenant *tenant, const char *text)
{
	json_t *json = json_loads(text, 0, NULL);
	const char *what = json_string_value(json_object_get(json, "event"));
	char name[32];

	/* The supervisor may have been taken over: the name is shown to people. */
	if (what && strlen(what) < sizeof(name) && strspn(what, "abcdefghijklmnopqrstuvwxyz-") == strlen(what)) {
		snprintf(name, sizeof(name), "%s", what);
		json_object_del(json, "event");
		json_incref(json);
		vms_event(tenant, name, json);
	}
	json_decref(json);
}

static bool wait_for_program(struct vms_tenant *tenant)
{
	return tenant->program > 0 && waitpid(tenant->program, &tenant->status, WNOHANG | __WALL) == tenant->program;
}

void vms_tenant_message(struct vms_tenant *tenant, const struct vms_front_msg *msg, int *fds, size_t nr_fds)
{
	switch (msg->kind) {
	case VMS_FRONT_LISTENER:
		if (nr_fds != 1)
			break;
		take_fd(&tenant->listener, &fds[0]);
		vms_notify_keep(tenant, "listener", tenant->listener);
		break;
	case VMS_FRONT_TAKES:
		vms_caretaker_stop(tenant);
		vms_link_tell(tenant, VMS_FRONT_YOURS, 0, -1);
		break;
	case VMS_FRONT_STARTED:
		tenant->program = msg->value;
		if (tenant->state == VMS_TENANT_STARTING) {
			vms_tenant_set_state(tenant, VMS_TENANT_RUNNING);
			vms_rest_keep(tenant);
			vms_event(tenant, "start", json_pack("{s:i}", "pid", msg->value));
		}
		break;
	case VMS_FRONT_STOPPED:
		vms_link_tell(tenant, VMS_FRONT_RESUMED, 0, -1);
		break;
	case VMS_FRONT_EXITED:
		/* After an adoption the program is our child, and only we are told how it ended. */
		if (msg->value >= 0)
			tenant->status = msg->value;
		else if (!tenant->has_ended && !wait_for_program(tenant))
			tenant->status = -1;
		tenant->has_ended = true;
		tenant->program = 0;
		vms_tenant_end_rest(tenant);
		break;
	case VMS_FRONT_FAILED:
		snprintf(tenant->failure, sizeof(tenant->failure), "%s", msg->text);
		break;
	case VMS_FRONT_EVENT:
		on_event(tenant, msg->text);
		break;
	default:
		break;
	}
}
