/* Metrics over HTTP: libmicrohttpd without threads, in vmsupd's own loop. GET and HEAD of /metrics, nothing else. */
#include <config.h>

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#ifdef HAVE_MICROHTTPD
#include <microhttpd.h>
#endif

#include "vmsup/base/fd.h"
#include "vmsup/daemon/metrics.h"

#ifdef HAVE_MICROHTTPD

#define MAX_CONNECTIONS 32
#define MAX_OF_ONE_ADDRESS 16
#define PATIENCE_S 5
#define VISIT_NS 10000000000LL
#define OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define PLAIN "text/plain; version=0.0.4; charset=utf-8"

static enum MHD_Result say(struct MHD_Connection *connection, unsigned int status, const char *text)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result r = response ? MHD_queue_response(connection, status, response) : MHD_NO;

	if (response)
		MHD_destroy_response(response);
	return r;
}

static enum MHD_Result answer(void *arg, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
			      const char *data, size_t *data_size, void **state)
{
	const char *accepts = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
	const bool open = accepts && strstr(accepts, "application/openmetrics-text");
	struct MHD_Response *response;
	enum MHD_Result r;
	size_t len;
	char *text;

	(void)version;
	(void)data;
	(void)state;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return *data_size ? MHD_NO : say(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET /metrics\n");
	if (strcmp(url, "/metrics") != 0)
		return say(connection, MHD_HTTP_NOT_FOUND, "metrics are at /metrics\n");
	if (vms_metrics_text(arg, open, &text, &len) < 0)
		return MHD_NO;
	response = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, open ? OPENMETRICS : PLAIN);
	r = MHD_queue_response(connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return r;
}

/* libmicrohttpd's own time-out is about silence. This is when a connection ends, whatever it says. */
struct visit {
	int fd; /* libmicrohttpd's */
	long long until; /* ns */
	struct visit *next;
};

static void on_visit(void *arg, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode code)
{
	struct vms_daemon *daemon = arg;
	struct visit **at = (struct visit **)&daemon->http_visits, *visit;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

		visit = info ? calloc(1, sizeof(*visit)) : NULL;
		if (!visit)
			return;
		*visit = (struct visit){ .fd = info->connect_fd, .until = vms_daemon_now_ns() + VISIT_NS, .next = *at };
		*at = visit;
		*context = visit;
		return;
	}
	while (*at && *at != *context)
		at = &(*at)->next;
	visit = *at;
	if (visit) {
		*at = visit->next;
		free(visit);
	}
}

static void end_visits(const struct vms_daemon *daemon)
{
	const long long now = vms_daemon_now_ns();

	for (const struct visit *visit = daemon->http_visits; visit; visit = visit->next) {
		if (now > visit->until)
			shutdown(visit->fd, SHUT_RDWR);
	}
}

static void on_ready(void *arg, int fd, unsigned int events)
{
	struct vms_daemon *daemon = arg;
	uint64_t ticks;

	(void)events;
	if (fd == daemon->http_timer) {
		if (read(fd, &ticks, sizeof(ticks)) < 0)
			return;
		end_visits(daemon);
	}
	MHD_run(daemon->http);
}

/* "HOST:PORT" or "[HOST]:PORT". */
static int resolve(const char *text, struct addrinfo **ret_info, struct vms_err *err)
{
	const struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV | AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
	const char *colon = strrchr(text, ':');
	char host[256];
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (!len || len >= sizeof(host) || !colon[1])
		return vms_err_set(err, -EINVAL, "metrics-address: '%.100s' is no address and port; write for example 127.0.0.1:9778", text);
	memcpy(host, text, len);
	host[len] = '\0';
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		memmove(host, host + 1, len - 1);
	}
	if (getaddrinfo(host, colon + 1, &hints, ret_info) != 0)
		return vms_err_set(err, -EINVAL, "metrics-address: '%.100s' is no numeric address and port; write for example 127.0.0.1:9778",
				   text);
	return 0;
}

static int open_socket(const char *text, int *ret_fd, struct vms_err *err)
{
	const int yes = 1;
	struct addrinfo *info;
	vms_autofd fd = -1;
	int r = resolve(text, &info, err);

	if (r < 0)
		return r;
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 || bind(fd, info->ai_addr, info->ai_addrlen) < 0 ||
	    listen(fd, MAX_CONNECTIONS) < 0)
		r = vms_err_set(err, -errno, "metrics-address: %.100s cannot be listened on: %s", text, strerror(errno));
	freeaddrinfo(info);
	if (r == 0)
		*ret_fd = vms_fd_steal(&fd);
	return r;
}

int vms_http_start(struct vms_daemon *daemon, struct vms_err *err)
{
	const struct itimerspec second = { .it_value.tv_sec = 1, .it_interval.tv_sec = 1 };
	const union MHD_DaemonInfo *info;
	int fd = -1, r;

	if (!daemon->conf.metrics_address)
		return 0;
	r = open_socket(daemon->conf.metrics_address, &fd, err);
	if (r < 0)
		return r;
	daemon->http = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer, daemon, MHD_OPTION_LISTEN_SOCKET, fd,
					MHD_OPTION_CONNECTION_LIMIT, (unsigned int)MAX_CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
					(unsigned int)MAX_OF_ONE_ADDRESS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)PATIENCE_S,
					MHD_OPTION_NOTIFY_CONNECTION, on_visit, daemon, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)32768, MHD_OPTION_END);
	if (!daemon->http) {
		close(fd);
		return vms_err_set(err, -EIO, "metrics-address: the HTTP server cannot be started");
	}
	info = MHD_get_daemon_info(daemon->http, MHD_DAEMON_INFO_EPOLL_FD);
	daemon->http_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	r = info && daemon->http_timer >= 0 && timerfd_settime(daemon->http_timer, 0, &second, NULL) == 0 ? 0 : -EIO;
	if (r == 0)
		r = vms_loop_add(daemon->loop, info->epoll_fd, VMS_WATCH_READ, -2, on_ready, daemon, &daemon->http_watch);
	/* Connections that say nothing are looked for. */
	if (r == 0)
		r = vms_loop_add(daemon->loop, daemon->http_timer, VMS_WATCH_READ, -2, on_ready, daemon, &daemon->http_timer_watch);
	return r < 0 ? vms_err_set(err, r, "metrics-address: the HTTP server cannot be watched") : 0;
}

void vms_http_stop(struct vms_daemon *daemon)
{
	vms_watch_free(daemon->http_watch);
	vms_watch_free(daemon->http_timer_watch);
	daemon->http_watch = daemon->http_timer_watch = NULL;
	if (daemon->http)
		MHD_stop_daemon(daemon->http);
	daemon->http = NULL;
	vms_fd_close(&daemon->http_timer);
}

#else

int vms_http_start(struct vms_daemon *daemon, struct vms_err *err)
{
	if (daemon->conf.metrics_address)
		return vms_err_set(err, -ENOSYS, "metrics-address: this vmsupd was built without HTTP (--without-metrics); use metrics-file");
	return 0;
}

void vms_http_stop(struct vms_daemon *daemon)
{
	(void)daemon;
}

#endif
