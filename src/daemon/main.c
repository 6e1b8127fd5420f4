/* The main file of vmsupd: reads its options. */
#include <config.h>

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "vmsup/base/log.h"
#include "vmsup/conf/nearest.h"
#include "vmsup/daemon/daemon.h"
#include "vmsup/daemon/supervise.h"

#define EXIT_USAGE 2

static const char help[] =
	"Usage: vmsupd [OPTIONS]\n"
	"\n"
	"Run the tenants of the configuration, each under a supervisor of its own, and answer\n"
	"vmsup status, start, stop, limit... on its socket; see vmsupd(8).\n"
	"\n"
	"  --config DIR   where vmsup.conf and tenants.d are (default: /etc/vmsup)\n"
	"  --runtime DIR  where its sockets go (default: /run/vmsup)\n"
	"  --state DIR    what is saved, vmsup enable and limit --save (default: /var/lib/vmsup)\n"
	"  --foreground   SIGINT (Ctrl-C) stops all tenants and then vmsupd\n"
	"  -h, --help     print this and exit\n"
	"  -V, --version  print the version and exit\n"
	"\n"
	"SIGHUP reads the configuration again. SIGTERM ends vmsupd and leaves the tenants running:\n"
	"the next vmsupd takes them over.\n";

static int unknown(const char *word)
{
	static const char *const names[] = { "config", "runtime", "state", "foreground", "help", "version" };
	const char *name = word + strspn(word, "-"), *near = vms_nearest(name, strlen(name), names, sizeof(names) / sizeof(names[0]));

	if (near)
		vms_log("vmsupd: unknown option '%.100s'; did you mean --%s?", word, near);
	else
		vms_log("vmsupd: unknown option '%.100s'; see vmsupd --help", word);
	return EXIT_USAGE;
}

static int print(const char *text)
{
	if (fputs(text, stdout) >= 0 && fflush(stdout) == 0)
		return 0;
	vms_log("cannot write to stdout: %s", strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	static const struct option table[] = {
		{ "config", required_argument, NULL, 'c' }, { "runtime", required_argument, NULL, 'r' },
		{ "state", required_argument, NULL, 's' },  { "foreground", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },	    { "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	struct vms_daemon_options options = { .config = "/etc/vmsup", .runtime = VMS_RUNTIME, .state = "/var/lib/vmsup" };
	int c;

	/* vmsupd starts itself like this, with descriptors that nobody else has; the name is for ps(1). */
	if (argc >= 3 && strcmp(argv[1], "--supervise") == 0)
		return vms_supervise_main(argc > 3 && strcmp(argv[3], "--adopt") == 0);
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":hV", table, NULL)) != -1) {
		switch (c) {
		case 'c':
			options.config = optarg;
			break;
		case 'r':
			options.runtime = optarg;
			break;
		case 's':
			options.state = optarg;
			break;
		case 'f':
			options.foreground = true;
			break;
		case 'h':
			return print(help);
		case 'V':
			return print("vmsupd " PACKAGE_VERSION "\n");
		case ':':
			vms_log("vmsupd: option %s needs a value", argv[optind - 1]);
			return EXIT_USAGE;
		default:
			return unknown(argv[optind - 1]);
		}
	}
	if (optind < argc) {
		vms_log("vmsupd: '%.100s' is no option; see vmsupd --help", argv[optind]);
		return EXIT_USAGE;
	}
	return vms_daemon_main(&options);
}
