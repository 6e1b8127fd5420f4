/* Questions that only a tenant's supervisor can answer, passed on to its own control socket (ctl/server.c) without waiting. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmsup/base/fd.h"
#include "vmsup/ctl/dir.h"
#include "vmsup/daemon/server.h"
#include "vmsup/wire/msg.h"

#define REPLY_MAX ((size_t)16 << 20)
/* A supervisor that has just been started does not answer yet. */
#define TICK_NS 50000000
#define MAX_TICKS 100

struct vms_relay {
	struct vms_client *client;
	int fd, timer; /* owned */
	struct vms_watch *watch, *timer_watch;
	struct vms_inbox in;
	char tenant[VMS_TENANT_NAME_MAX + 1]; /* whose supervisor is asked: the one that it has now */
	char *ask; /* owned */
	size_t ask_len;
	bool is_sent;
	unsigned int ticks;
	int (*on_success)(void *arg, struct vms_err *err); /* may be NULL */
	void *arg; /* owned, by free */
};

void vms_relay_free(struct vms_relay *relay)
{
	if (!relay)
		return;
	vms_watch_free(relay->watch);
	vms_watch_free(relay->timer_watch);
	vms_fd_close(&relay->fd);
	vms_fd_close(&relay->timer);
	vms_inbox_done(&relay->in);
	free(relay->ask);
	free(relay->arg);
	free(relay);
}

static void finish(struct vms_relay *relay, json_t *result, int code, const char *sentence)
{
	struct vms_client *client = relay->client;
	struct vms_err err = VMS_ERR_INIT;

	client->relay = NULL;
	if (result && relay->on_success) {
		code = relay->on_success(relay->arg, &err);
		if (code < 0) {
			json_decref(result);
			result = NULL;
			sentence = err.text;
		}
	}
	vms_relay_free(relay);
	vms_client_reply(client, result, code, sentence);
}

/* Passed on as it is: to read megabytes of it would keep others waiting. Whether it is JSON the client sees. */
static bool pass_on(struct vms_relay *relay, const char *line, size_t len)
{
	struct vms_client *client = relay->client;

	if (relay->on_success || len < 3 || line[0] != '{' || line[1] != '"' || line[len - 1] != '}')
		return false;
	client->relay = NULL;
	vms_client_reply_raw(client, line, len);
	vms_relay_free(relay);
	return true;
}

static struct vms_tenant *tenant_of(const struct vms_relay *relay)
{
	return vms_tenant_find(relay->client->server->daemon, relay->tenant);
}

/* A supervisor that has been killed is replaced, and the next one can answer. */
static bool asks_again(struct vms_relay *relay)
{
	const struct vms_tenant *tenant = tenant_of(relay);

	if (!tenant || !tenant->supervisor)
		return false;
	vms_watch_free(relay->watch);
	relay->watch = NULL;
	vms_fd_close(&relay->fd);
	vms_inbox_done(&relay->in);
	vms_inbox_init(&relay->in, REPLY_MAX);
	relay->is_sent = false;
	return true;
}

static void on_reply(void *arg, int fd, unsigned int events)
{
	struct vms_relay *relay = arg;
	struct vms_err err = VMS_ERR_INIT;
	json_t *result = NULL;
	size_t count = 0, len;
	char *line;
	int r = vms_inbox_receive(&relay->in, fd, &count);

	(void)events;
	if (r == -EAGAIN)
		return;
	if (r == 0 && count)
		r = vms_inbox_line(&relay->in, &line, &len);
	else if (r == 0)
		r = -ECONNRESET;
	if (r == -EAGAIN || ((r == -ECONNRESET || r == -EPIPE) && asks_again(relay)))
		return;
	if (r == 0 && pass_on(relay, line, len))
		return;
	if (r == 0)
		r = vms_reply_parse(line, len, &result, &err);
	finish(relay, r == 0 ? result : NULL, r, err.text[0] ? err.text : r == -EMSGSIZE ? "the answer is too large: ask with a PID, as root" :
											     "the tenant's supervisor gave no answer");
}

static int connect_to(pid_t pid)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	vms_autofd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), folder = -1;
	char name[VMS_CTL_NAME_MAX];
	int r = vms_ctl_dir_own(&folder, NULL);

	if (r < 0)
		return r;
	vms_ctl_dir_name(pid, name);
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", folder, name);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return vms_fd_steal(&fd);
}

/* 0; -EAGAIN: nobody listens yet; another negative errno. */
static int send_ask(struct vms_relay *relay)
{
	const struct vms_tenant *tenant = tenant_of(relay);
	int r;

	if (!tenant || !tenant->supervisor)
		return -ESRCH;
	relay->fd = connect_to(tenant->supervisor);
	if (relay->fd == -ENOENT || relay->fd == -ECONNREFUSED)
		return -EAGAIN;
	if (relay->fd < 0)
		return relay->fd;
	/* A new socket has room for a line. */
	if (send(relay->fd, relay->ask, relay->ask_len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)relay->ask_len)
		return -EIO;
	relay->is_sent = true;
	r = vms_loop_add(relay->client->server->daemon->loop, relay->fd, VMS_WATCH_READ, -2, on_reply, relay, &relay->watch);
	return r;
}

static void on_tick(void *arg, int fd, unsigned int events)
{
	struct vms_relay *relay = arg;
	uint64_t ticks;
	int r = -EAGAIN;

	(void)events;
	if (read(fd, &ticks, sizeof(ticks)) < 0)
		return;
	if (!relay->is_sent)
		r = send_ask(relay);
	if (r == -ESRCH)
		finish(relay, NULL, r, "the tenant has just ended");
	else if (r < 0 && r != -EAGAIN)
		finish(relay, NULL, r, "the tenant's supervisor cannot be asked");
	else if (++relay->ticks > MAX_TICKS)
		finish(relay, NULL, -ETIMEDOUT, "the tenant's supervisor gave no answer in time");
}

/* One user's must not fill the memory. */
static bool has_too_many(const struct vms_client *client)
{
	unsigned int nr = 0;

	for (size_t i = 0; i < VMS_SERVER_CLIENTS; i++) {
		const struct vms_client *other = &client->server->clients[i];

		nr += other->fd >= 0 && other->uid == client->uid && other->relay;
	}
	return client->right != VMS_RIGHT_ALL && nr >= VMS_SERVER_RELAYS_OF_ONE;
}

int vms_relay_start(struct vms_client *client, const struct vms_tenant *tenant, char *ask, size_t len,
		    int (*on_success)(void *arg, struct vms_err *err), void *arg, struct vms_err *err)
{
	const struct itimerspec often = { .it_value.tv_nsec = TICK_NS, .it_interval.tv_nsec = TICK_NS };
	struct vms_loop *loop = client->server->daemon->loop;
	const bool too_many = has_too_many(client);
	struct vms_relay *relay = too_many ? NULL : calloc(1, sizeof(*relay));
	int r;

	if (!relay) {
		free(ask);
		free(arg);
		return too_many ? vms_err_set(err, -EAGAIN, "%d questions of this user wait for answers already: ask again later",
					      VMS_SERVER_RELAYS_OF_ONE) :
				  vms_err_set(err, -ENOMEM, "out of memory");
	}
	*relay = (struct vms_relay){ .client = client, .fd = -1, .timer = -1, .ask = ask, .ask_len = len,
				     .on_success = on_success, .arg = arg };
	snprintf(relay->tenant, sizeof(relay->tenant), "%s", tenant->name);
	vms_inbox_init(&relay->in, REPLY_MAX);
	relay->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	r = relay->timer < 0 || timerfd_settime(relay->timer, 0, &often, NULL) < 0 ? -errno : 0;
	if (r == 0)
		r = vms_loop_add(loop, relay->timer, VMS_WATCH_READ, -2, on_tick, relay, &relay->timer_watch);
	if (r == 0)
		r = send_ask(relay);
	if (r < 0 && r != -EAGAIN) {
		vms_relay_free(relay);
		return vms_err_set(err, r, "the tenant's supervisor cannot be asked: %s", strerror(-r));
	}
	client->relay = relay;
	return 1;
}
