/*
 * Claim: every way to execute a program, and every way to fail at it, is as natively, from the
 * leader and from another thread, with other threads in memory calls, in a vfork child and under the signal guard; a process
 * whose exec fails is unharmed. All results are printed, for comparison.
 * taskexec FOLDER (where it may make files); taskexec "say" WORD...: print the words.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *self;
static char folder[4096 - 256];

enum { THREADS = 1, GUARDED = 2, FROM_THREAD = 4, VFORK = 8 };

static void nop(int sig)
{
	(void)sig;
}

static void *keep_mapping(void *arg)
{
	for (;;) {
		char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED || munmap(p, 8192))
			_exit(96);
	}
	return arg;
}

static bool is_unharmed(void)
{
	char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid;
	int status;

	if (p == MAP_FAILED)
		return false;
	memset(p, 1, 65536);
	if (munmap(p, 65536))
		return false;
	pid = fork();
	if (pid == 0)
		_exit(7);
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7;
}

/* --- files ------------------------------------------------------------------------------------- */

static char *path_of(const char *name)
{
	static char paths[8][4096];
	static int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void make_file(const char *name, const void *bytes, size_t size, mode_t mode)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size || fchmod(fd, mode) || close(fd)) {
		perror(name);
		exit(99);
	}
}

static void make_text(const char *name, const char *text, mode_t mode)
{
	make_file(name, text, strlen(text), mode);
}

static void make_elf(const char *name, uint16_t machine, const char *interp)
{
	struct {
		Elf64_Ehdr ehdr;
		Elf64_Phdr phdr[2];
		char interp[64];
	} f = { .ehdr = { .e_type = ET_DYN, .e_machine = machine, .e_version = EV_CURRENT,
			  .e_ehsize = sizeof(Elf64_Ehdr), .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = interp ? 2 : 1 } };

	memcpy(f.ehdr.e_ident, ELFMAG "\2\1\1", 7);
	f.ehdr.e_phoff = sizeof(f.ehdr);
	f.phdr[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R, .p_filesz = sizeof(f), .p_memsz = sizeof(f),
				  .p_align = 4096 };
	if (interp) {
		f.phdr[1] = (Elf64_Phdr){ .p_type = PT_INTERP, .p_offset = (size_t)(f.interp - (char *)&f),
					  .p_filesz = strlen(interp) + 1, .p_memsz = strlen(interp) + 1 };
		snprintf(f.interp, sizeof(f.interp), "%s", interp);
	}
	make_file(name, &f, sizeof(f), 0700);
}

static void copy_self(const char *name)
{
	static char bytes[8 << 20];
	int fd = open(self, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, bytes, sizeof(bytes));

	close(fd);
	make_file(name, bytes, (size_t)n, 0700);
}

static void make_files(void)
{
	char script[2 * 4096];

	make_text("plain", "echo no", 0600);
	make_text("garbage", "\x01\x02garbage\n", 0700);
	make_text("empty", "", 0700);
	make_text("lost", "#!/nonexistent/interpreter\n", 0700);
	make_text("denied", "#!/etc/passwd\n", 0700);
	make_text("nobody", "#!\n", 0700);
	make_elf("foreign", EM_AARCH64, NULL);
	make_elf("no-interp", EM_X86_64, "/nonexistent/ld.so");
	make_elf("cut-interp", EM_X86_64, "./garbage");
	make_elf("bad-interp", EM_X86_64, "./rubbish");
	make_elf("closed-interp", EM_X86_64, "./plain");
	make_file("short", ELFMAG "\2\1\1", 7, 0700);
	memset(script, 'x', sizeof(script));
	make_file("rubbish", script, sizeof(script), 0700);
	copy_self("busy");
	copy_self("deleted");
	snprintf(script, sizeof(script), "#!%s say script\n", self);
	make_text("script", script, 0700);
	for (int i = 0; i < 7; i++) {
		char name[16];

		snprintf(name, sizeof(name), "nested%d", i);
		snprintf(script, sizeof(script), i ? "#!%s/nested%d x%d\n" : "#!%s/script\n", folder, i - 1, i);
		make_text(name, script, 0700);
	}
	memset(script, ' ', sizeof(script));
	memcpy(script, "#!", 2);
	snprintf(script + 200, sizeof(script) - 200, "%s say long\n", self);
	script[200 + strlen(self)] = ' ';
	make_text("long", script, 0700);
	(void)!symlink("loop", path_of("loop"));
}

/* --- failures ---------------------------------------------------------------------------------- */

static char *const some_argv[] = { (char *)"x", (char *)"say", NULL };

static int run_path(const char *path)
{
	execve(path, some_argv, environ);
	return errno;
}

static int run_at(int dirfd, const char *path, int flags)
{
	syscall(SYS_execveat, dirfd, path, some_argv, environ, flags);
	return errno;
}

static int run_big(void)
{
	static char big[200000];
	char *const argv[] = { (char *)"x", big, NULL };

	memset(big, 'a', sizeof(big) - 1);
	execve(self, argv, environ);
	return errno;
}

static int run_bigger(void)
{
	static char word[100000];
	static char *argv[102];

	memset(word, 'a', sizeof(word) - 1);
	for (int i = 0; i < 101; i++)
		argv[i] = word;
	execve(self, argv, environ);
	return errno;
}

static int run_wild(int what)
{
	void *volatile wild = (void *)8;
	char *const bad[] = { wild, NULL };

	if (what == 0)
		execve(wild, some_argv, environ);
	else if (what == 1)
		execve(self, wild, environ);
	else if (what == 2)
		execve(self, bad, environ);
	else
		execve(self, some_argv, bad);
	return errno;
}

static int run_busy(void)
{
	int fd = open(path_of("busy"), O_WRONLY), r;

	r = run_path(path_of("busy"));
	close(fd);
	return r;
}

static int run_memfd(unsigned int seals, bool writable)
{
	int fd = memfd_create("program", MFD_ALLOW_SEALING), r;

	(void)!write(fd, "garbage", 7);
	if (seals)
		fcntl(fd, F_ADD_SEALS, seals);
	if (!writable)
		fchmod(fd, 0400);
	r = run_at(fd, "", AT_EMPTY_PATH);
	close(fd);
	return r;
}

static void fail_all(void)
{
	static const char *const names[] = { "plain", "garbage", "empty", "lost", "denied", "nobody", "foreign",
					     "no-interp", "cut-interp", "bad-interp", "closed-interp", "short", "nested6", "loop", "missing",
					     "plain/below", "", "." };
	char long_name[300];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		printf("%s: %s\n", names[i], strerrorname_np(run_path(*names[i] ? path_of(names[i]) : "")));
	memset(long_name, 'n', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	printf("long name: %s\n", strerrorname_np(run_path(path_of(long_name))));
	printf("busy: %s\n", strerrorname_np(run_busy()));
	printf("one big: %s\n", strerrorname_np(run_big()));
	printf("too much: %s\n", strerrorname_np(run_bigger()));
	for (int i = 0; i < 4; i++)
		printf("wild %d: %s\n", i, strerrorname_np(run_wild(i)));
	printf("at: %s\n", strerrorname_np(run_at(-1, "x", 0)));
	printf("at, flags: %s\n", strerrorname_np(run_at(AT_FDCWD, self, 0x4000000)));
	printf("at, empty: %s\n", strerrorname_np(run_at(0, "", 0)));
	printf("at, link: %s\n", strerrorname_np(run_at(AT_FDCWD, path_of("loop"), AT_SYMLINK_NOFOLLOW)));
	printf("memfd: %s\n", strerrorname_np(run_memfd(0, true)));
	printf("memfd, sealed: %s\n", strerrorname_np(run_memfd(F_SEAL_WRITE | F_SEAL_GROW, true)));
	printf("memfd, not executable: %s\n", strerrorname_np(run_memfd(0, false)));
	printf("unharmed: %d\n", is_unharmed());
}

/* --- successes --------------------------------------------------------------------------------- */

static char *const say_argv[] = { (char *)"zero", (char *)"say", (char *)"hello", (char *)"", (char *)"w o r d", NULL };
static char *const no_argv[] = { NULL };

static void by_memfd(unsigned int seals, int flags)
{
	static char bytes[8 << 20];
	int fd = memfd_create("program", (unsigned int)flags | MFD_ALLOW_SEALING), from = open(self, O_RDONLY);
	ssize_t n = read(from, bytes, sizeof(bytes));

	(void)!write(fd, bytes, (size_t)n);
	if (seals)
		fcntl(fd, F_ADD_SEALS, seals);
	fexecve(fd, say_argv, environ);
}

static void succeed(int way)
{
	char proc[64];
	int fd;

	switch (way) {
	case 0:
		execve(self, say_argv, environ);
		break;
	case 1:
		fexecve(open(self, O_RDONLY | O_CLOEXEC), say_argv, environ);
		break;
	case 2:
		syscall(SYS_execveat, open(self, O_PATH), "", say_argv, environ, AT_EMPTY_PATH);
		break;
	case 3:
		by_memfd(0, 0);
		break;
	case 4:
		by_memfd(F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, MFD_CLOEXEC);
		break;
	case 5:
		execve("/proc/self/exe", say_argv, environ);
		break;
	case 6:
		fd = open(path_of("deleted"), O_RDONLY);
		unlink(path_of("deleted"));
		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
		execve(proc, say_argv, environ);
		break;
	case 7:
		execve(path_of("script"), say_argv, environ);
		break;
	case 8:
		execve(path_of("nested3"), say_argv, environ);
		break;
	case 9:
		fexecve(open(path_of("script"), O_RDONLY), say_argv, environ);
		break;
	case 10:
		execve(path_of("long"), say_argv, environ);
		break;
	case 11:
		execve("script", say_argv, no_argv);
		break;
	case 12:
		execve(self, no_argv, no_argv);
		break;
	}
	printf("way %d: %s\n", way, strerrorname_np(errno));
	_exit(95);
}
#define WAYS 13

struct job {
	int way; /* -1: all that fail */
};

static void *do_job(void *arg)
{
	const struct job *job = arg;

	if (job->way < 0) {
		fail_all();
		fflush(stdout);
		_exit(0);
	}
	succeed(job->way);
	return NULL;
}

static void run_job(int way, int how)
{
	struct job job = { way };
	pthread_t thread;
	int status = -1;
	pid_t pid;

	fflush(stdout);
	/* What a vfork child does to our memory stays: only what leaves it as it was. */
	pid = (how & VFORK) ? vfork() : fork();
	if (pid == 0) {
		struct sigaction sa = { .sa_handler = nop };

		if (how & VFORK)
			do_job(&job);
		if (how & GUARDED)
			sigaction(SIGUSR1, &sa, NULL);
		for (int i = 0; (how & THREADS) && i < 3; i++)
			pthread_create(&thread, NULL, keep_mapping, NULL);
		if (how & FROM_THREAD) {
			pthread_create(&thread, NULL, do_job, &job);
			for (;;)
				pause();
		}
		do_job(&job);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		printf("way %d, how %d: status %#x\n", way, how, (unsigned int)status);
}

static int say(int argc, char **argv)
{
	char exe[4096], comm[32] = "";
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	int fd = open("/proc/self/comm", O_RDONLY);

	exe[n < 0 ? 0 : n] = '\0';
	(void)!read(fd, comm, sizeof(comm) - 1);
	printf("%d words:", argc);
	for (int i = 0; i < argc; i++)
		printf(" <%s>", argv[i]);
	printf(" comm %s exe %s, %s\n", strtok(comm, "\n") ? comm : "", exe, is_unharmed() ? "fine" : "harmed");
	/* Its one thread is the leader, whoever called. */
	if (syscall(SYS_gettid) != getpid())
		puts("not the leader");
	return 0;
}

int main(int argc, char **argv)
{
	const int hows[] = { 0, THREADS, GUARDED, THREADS | GUARDED, FROM_THREAD, FROM_THREAD | THREADS,
			     FROM_THREAD | THREADS | GUARDED };
	char exe[4096];
	ssize_t n;

	/* A script's first word and its argument come as one. */
	if (argc < 2 || strncmp(argv[1], "say", 3) == 0)
		return say(argc, argv);
	setvbuf(stdout, NULL, _IOFBF, 65536);
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[n < 0 ? 0 : n] = '\0';
	self = exe;
	snprintf(folder, sizeof(folder), "%s", argv[1]);
	if (chdir(folder))
		return 99;
	make_files();
	for (size_t i = 0; i < sizeof(hows) / sizeof(hows[0]); i++) {
		printf("== how %d\n", hows[i]);
		run_job(-1, hows[i]);
		for (int way = 0; way < WAYS; way++) {
			if (way == 6)
				copy_self("deleted");
			run_job(way, hows[i]);
		}
	}
	puts("== vfork");
	for (int way = 0; way < WAYS; way++) {
		if (way == 6)
			copy_self("deleted");
		run_job(way, VFORK);
	}
	return 0;
}
