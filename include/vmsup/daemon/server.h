/*
 * The control socket's inside: clients, their rights, and questions that are passed on. Private to server.c, verbs.c and relay.c.
 */
#ifndef VMSUP_DAEMON_SERVER_H
#define VMSUP_DAEMON_SERVER_H

#include "vmsup/daemon/daemon.h"
#include "vmsup/wire/frame.h"

#define VMS_PROTOCOL_VERSION 1
#define VMS_SERVER_CLIENTS 64
#define VMS_SERVER_CLIENTS_OF_ONE 16 /* of one user but root */
#define VMS_SERVER_CLIENTS_OWN 32 /* of all with VMS_RIGHT_OWN; so many are left to operators and root */
#define VMS_SERVER_CLIENTS_OTHER 48 /* of all but root */
#define VMS_SERVER_RELAYS_OF_ONE 2 /* questions to supervisors at a time, of one user but root */
#define VMS_SERVER_ASK_MAX ((size_t)64 << 10)
#define VMS_SERVER_OUT_MAX ((size_t)24 << 20) /* bytes that wait for one client, or for all of one user but root */

enum vms_right {
	VMS_RIGHT_NONE,
	VMS_RIGHT_OWN, /* to read of tenants that run as this user */
	VMS_RIGHT_OPERATOR, /* all but policy */
	VMS_RIGHT_ALL,
};

struct vms_relay;

struct vms_client {
	struct vms_server *server;
	int fd; /* owned; -1: the slot is free */
	struct vms_watch *watch;
	struct vms_inbox in;
	char *out; /* owned: what is to be sent */
	size_t out_len, out_sent, out_cap;
	uid_t uid;
	enum vms_right right;
	json_int_t id; /* of the request that is being answered */
	bool waits; /* for an answer that comes later: no other request is read */
	bool streams; /* events go to it */
	const char *only; /* owned: of this tenant; NULL: of all that it may see */
	bool is_greeted; /* it has said hello */
	long long asked_ns, sent_ns; /* since when a request is incomplete, or output waits; 0: it does not */
	long long heard_ns; /* when it said something last, or connected */
	struct vms_relay *relay; /* owned */
};

struct vms_server {
	struct vms_daemon *daemon;
	int fd, tick; /* owned */
	struct vms_watch *watch, *tick_watch;
	bool is_paused;
	char *path; /* owned: of the socket, when this process has made it */
	struct vms_client clients[VMS_SERVER_CLIENTS];
};

/** The answer to the request that @client waits with; @result (taken) is NULL for a refusal with @code and @sentence. */
void vms_client_reply(struct vms_client *client, json_t *result, int code, const char *sentence);
/** The same, with a descriptor (borrowed). False: it could not be passed. */
bool vms_client_reply_with(struct vms_client *client, json_t *result, int fd);
/** The same: the answer is @text, a JSON object of which the id is missing. */
void vms_client_reply_raw(struct vms_client *client, const char *text, size_t len);
void vms_client_event(struct vms_client *client, const json_t *event);
void vms_client_drop(struct vms_client *client);

/** verbs.c: carry out @ask; the client is answered now or, when 1 is returned, later. 0, or a negative errno with a sentence. */
VMS_MUST_CHECK int vms_verb_do(struct vms_client *client, const json_t *ask, json_t **ret_result, struct vms_err *err);

/**
 * relay.c: ask the supervisor of @tenant, or the one that replaces it, the line @ask, with its newline (taken), and give @client its
 * answer. When that is a success @on_success (may be NULL) is called before, with @arg (taken, by free); should it fail, its sentence
 * is the answer. 1, or -errno with a sentence.
 */
VMS_MUST_CHECK int vms_relay_start(struct vms_client *client, const struct vms_tenant *tenant, char *ask, size_t len,
				   int (*on_success)(void *arg, struct vms_err *err), void *arg, struct vms_err *err);
/** NULL is fine. */
void vms_relay_free(struct vms_relay *relay);

#endif
