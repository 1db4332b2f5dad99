# SPDX-License-Identifier: Apache-2.0
"""cmake/quickstart.sh against a project and tools that are not there: which steps it takes, what it says, what it returns.

usage: quickstart.py QUICKSTART.sh [TEST...]
"""
import os
import shutil
import sys
import unittest

from quickstart_case import APT_GET, CMAKE, HEADERS, Case


class Usage(Case):
    def test_help_lists_the_modes(self):
        printed = self.run_script("--help")
        for word in ("run", "test", "bench", "--no-install", "BOOST_ROOT"):
            self.assertIn(word, printed)
        self.assertEqual(self.called(), [])

    def test_wrong_arguments_are_one_line_and_exit_code_2(self):
        for arguments in (["fly"], ["run", "test"], ["--quiet"], ["run", "--quiet"]):
            printed = self.run_script(*arguments, code=2)
            self.assertEqual(len(printed.splitlines()), 1, printed)
        self.assertEqual(self.called(), [])

    def test_a_boost_root_without_a_boost_is_refused(self):
        self.environment["BOOST_ROOT"] = "/nowhere"
        self.assertIn("no Boost 1.81 or newer", self.run_script(code=1))


class Packages(Case):
    def test_no_install_names_what_is_missing_and_stops(self):
        for name in ("c++", "ninja"):
            (self.tools / name).unlink()
        self.assertIn("missing packages (--no-install): g++ ninja-build", self.run_script("--no-install", code=1))
        self.assertEqual(self.called(), [])

    def test_the_compiler_may_be_several_words_or_a_path_with_spaces(self):
        self.program("orders_pipeline")
        self.stand_in("ccache")
        for compiler in ("c++", "ccache c++", "c++ -m64", self.tools / "c++"):  # the folder's name has a space
            self.environment["CXX"] = str(compiler)
            self.run_script("--no-install")
        for compiler in ("none", "ccache none", "none c++"):
            self.environment["CXX"] = compiler
            self.assertIn("(--no-install): g++\n", self.run_script("--no-install", code=1))

    def test_only_the_mode_that_needs_a_package_asks_for_it(self):
        (self.tools / "zstd").unlink()
        self.program("orders_pipeline")
        self.run_script("--no-install")
        self.assertIn("missing packages (--no-install): zstd", self.run_script("test", "--no-install", code=1))

    def debian(self, user="0"):
        (self.tools / "c++").unlink()
        self.stand_in("apt-get", APT_GET)
        for name in ("apt-cache", "dpkg"):
            self.stand_in(name)
        self.stand_in("id", f"echo {user}")

    def test_apt_installs_only_what_is_missing_and_removes_nothing(self):
        self.debian()
        self.program("orders_pipeline")
        self.run_script()
        installs = [call for call in self.called() if call.startswith("apt-get")]
        self.assertEqual(len(installs), 2, installs)
        self.assertIn("--simulate", installs[0])
        for call in installs:
            self.assertIn("--no-remove", call)
            self.assertIn("--no-install-recommends", call)
            self.assertIn("-o DPkg::Lock::Timeout=300", call)  # another apt ends first
            self.assertTrue(call.endswith(" install g++"), call)

    def test_a_conflict_stops_before_anything_is_installed(self):
        self.debian()
        self.environment["CONFLICT"] = "yes"
        printed = self.run_script(code=1)
        self.assertIn("would go:   libboost1.74-dev", printed)
        self.assertTrue(all("--simulate" in call for call in self.called() if call.startswith("apt-get")), self.called())

    def test_a_conflict_over_boost_explains_boost_root(self):
        self.debian()
        self.boost(107400)
        self.environment["CONFLICT"] = "yes"
        self.assertIn("BOOST_ROOT=/path/to/boost_1_81_0 sh cmake/quickstart.sh run", self.run_script(code=1))

    def test_a_boost_of_the_users_own_needs_no_package(self):
        self.boost(107400)
        own = self.folder / "own boost/boost"
        own.mkdir(parents=True)
        (own / "version.hpp").write_text("#define BOOST_VERSION 108100\n")
        self.program("orders_pipeline")
        self.assertIn("libboost1.81-dev", self.run_script("--no-install", code=1))
        self.environment["BOOST_ROOT"] = str(own.parent)
        self.run_script("--no-install")

    def test_every_missing_header_names_its_package(self):
        for header, package in HEADERS.items():
            (self.prefix / "include" / header).unlink()
            self.assertIn(f"(--no-install): {package}\n", self.run_script("test", "--no-install", code=1))
            self.header(header)

    def test_lists_that_do_not_know_a_package_are_read_anew_first(self):
        self.debian()
        self.stand_in("apt-cache", '[ -e "$TOOLS/lists" ]')
        self.program("orders_pipeline")
        self.assertIn("reading the package lists ... done", self.run_script())
        self.assertEqual([call.split()[-1] for call in self.called() if call.startswith("apt-get")], ["update", "g++", "g++"])

    def test_a_release_without_these_versions_gets_its_own(self):
        self.debian()
        self.boost(107400)
        self.stand_in("apt-cache", "false")
        self.run_script(code=1)  # this stand-in installs no Boost
        self.assertTrue(any(call.endswith(" install g++ libboost-dev") for call in self.called()), self.called())
        self.boost(108100)
        self.stand_in("c++")
        (self.tools / "java").unlink()
        self.run_script("test")
        self.assertTrue(any(call.endswith(" install default-jre-headless") for call in self.called()), self.called())

    def test_lists_that_name_what_is_gone_are_read_anew_and_it_is_tried_again(self):
        self.debian()
        self.environment["STALE"] = "yes"
        self.program("orders_pipeline")
        printed = self.run_script()
        self.assertIn("installing g++ ... failed", printed)
        self.assertIn("installing g++ ... done", printed)

    def test_an_older_cmake_or_boost_is_as_good_as_none(self):
        self.program("orders_pipeline")
        for version, is_enough in (("3.24.4", False), ("2.99.0", False), ("3.25.0", True), ("3.100.1", True), ("4.0.0", True)):
            self.environment["CMAKE_VERSION"] = version
            printed = self.run_script("--no-install", code=0 if is_enough else 1)
            self.assertEqual("(--no-install): cmake\n" in printed, not is_enough, (version, printed))
        del self.environment["CMAKE_VERSION"]
        self.boost(108000)
        self.assertIn("(--no-install): libboost1.81-dev\n", self.run_script("--no-install", code=1))

    def test_who_is_not_root_installs_by_sudo(self):
        self.debian(user="1000")
        self.stand_in("sudo", '[ "$1" = -n ] && shift\nexec "$@"')
        (self.tools / "true").symlink_to(shutil.which("true"))
        self.program("orders_pipeline")
        self.run_script()
        self.assertTrue(any(call.startswith("sudo env ") and call.endswith(" install g++") for call in self.called()), self.called())

    def test_what_apt_cannot_install_is_said_as_apt_says_it(self):
        self.debian()
        self.stand_in("apt-get", 'echo "E: Unable to correct problems"; exit 100')
        printed = self.run_script(code=1)
        self.assertIn("E: Unable to correct problems", printed)
        self.assertIn("apt cannot install: g++", printed)

    def test_without_root_and_sudo_it_says_what_to_run_as_root(self):
        self.debian(user="1000")
        self.assertIn("run as root:  apt-get install", self.run_script(code=1))

    def test_another_system_gets_the_names_and_goes_on(self):
        (self.tools / "zstd").unlink()
        printed = self.run_script("test")
        self.assertIn("not a Debian system; please install what Debian calls: zstd", printed)
        self.assertIn("100% tests passed", printed)
        self.stand_in("apt-get", APT_GET)  # some have that, and no dpkg
        self.assertIn("not a Debian system", self.run_script("test"))
        self.environment["CMAKE_VERSION"] = "3.24.0"
        self.assertIn("CMake 3.25 or newer is needed", self.run_script("test", code=1))


class Broker(Case):
    SKIPPED = "tests on a real Kafka broker are skipped"

    def fetches(self):
        return sum(call == "test_broker.sh fetch" for call in self.called())

    def test_kafka_is_fetched_for_tests_as_one_step_and_once(self):
        first = self.run_script("test")
        self.assertIn("velostream: fetching Apache Kafka into .build/kafka ... done", first)
        second = self.run_script("test")
        self.assertNotIn("Kafka", second)
        self.assertEqual(self.fetches(), 1)

    def test_no_other_mode_asks_for_it(self):
        (self.tools / "java").unlink()
        self.program("orders_pipeline")
        self.assertNotIn("Kafka", self.run_script())
        self.program("velostream_bench_report")
        self.assertNotIn("Kafka", self.run_script("bench"))
        self.assertFalse([call for call in self.called() if call.startswith("test_broker")])

    def test_where_it_cannot_be_fetched_the_others_run(self):
        self.environment["OFFLINE"] = "yes"
        printed = self.run_script("test")
        self.assertIn(self.SKIPPED, printed)
        self.assertIn("100% tests passed", printed)
        self.assertIn("Unknown host", (self.root / ".build/logs/kafka.log").read_text())

    def test_what_did_not_run_is_said_in_capitals(self):
        self.assertNotIn("DID NOT RUN", self.run_script("test"))
        self.stand_in("ctest", """cat << 'TEXT'
100% tests passed, 0 tests failed out of 4

The following tests did not run:
	 7 - broker.start (Skipped)
	12 - broker_kafka.AdminTest.MakesTopics (Skipped)
	13 - broker_kafka.AdminTest.TellsOffsets (Skipped)

TEXT""")
        self.assertIn("velostream: TESTS THAT DID NOT RUN, OF: BROKER BROKER_KAFKA\n", self.run_script("test"))

    def test_what_is_missing_is_named_and_the_others_run(self):
        for name in ("java", "mvn", "kcat"):
            (self.tools / name).unlink()
        for arguments in (["test"], ["test", "--no-install"]):
            printed = self.run_script(*arguments)
            self.assertIn(self.SKIPPED + "; they need what Debian calls: openjdk-17-jre-headless maven kcat\n", printed)
            self.assertIn("100% tests passed", printed)
        self.assertEqual(self.fetches(), 0)

    def test_no_install_fetches_nothing_and_uses_what_is_there(self):
        printed = self.run_script("test", "--no-install")
        self.assertIn(self.SKIPPED + " (--no-install); they need:  sh cmake/test_broker.sh fetch\n", printed)
        self.assertEqual(self.fetches(), 0)
        self.run_script("test")
        (self.tools / "mvn").unlink()  # has done its work
        self.assertNotIn("Kafka", self.run_script("test", "--no-install"))

    def test_apt_installs_what_is_missing_of_it_and_a_failure_skips_the_tests_only(self):
        for tool in ("apt-cache", "dpkg"):
            self.stand_in(tool)
        self.stand_in("apt-get", APT_GET)
        self.stand_in("id", "echo 0")
        for name in ("java", "mvn"):
            (self.tools / name).unlink()
        self.environment["NO_MAVEN"] = "yes"
        printed = self.run_script("test")
        self.assertIn("still missing after the installation: maven", printed)
        self.assertIn(self.SKIPPED, printed)
        self.assertIn("100% tests passed", printed)
        del self.environment["NO_MAVEN"]
        printed = self.run_script("test")
        self.assertNotIn(self.SKIPPED, printed)
        installs = [call for call in self.called() if call.startswith("apt-get") and "simulate" not in call]
        self.assertEqual([call.split(" install ")[1] for call in installs], ["openjdk-17-jre-headless maven", "maven"])
        self.assertEqual(self.fetches(), 1)


class Database(Case):
    SKIPPED = "tests on a real PostgreSQL are skipped; they need what Debian calls: postgresql openssl\n"

    def test_where_it_is_missing_the_others_run(self):
        self.assertNotIn("PostgreSQL", self.run_script("test"))
        (self.tools / "postgres").unlink()
        for arguments in (["test"], ["test", "--no-install"]):
            printed = self.run_script(*arguments)
            self.assertIn(self.SKIPPED, printed)
            self.assertIn("100% tests passed", printed)
        self.program("orders_pipeline")
        self.assertNotIn("PostgreSQL", self.run_script())

    def test_debians_package_is_installed_without_a_cluster_of_its_own(self):
        for tool in ("apt-cache", "dpkg"):
            self.stand_in(tool)
        self.stand_in("apt-get", APT_GET)
        self.stand_in("id", "echo 0")
        (self.tools / "postgres").unlink()
        self.assertNotIn("PostgreSQL", self.run_script("test"))
        self.assertIn("create_main_cluster = false", self.called())
        self.assertEqual([path for path in self.etc.rglob("*") if path.is_file()], [], "it stays for this installation only")


class Steps(Case):
    def test_run_returns_the_jobs_exit_code_and_passes_its_arguments(self):
        self.program("orders_pipeline", 'for word; do echo "[$word]"; done; exit 7')
        printed = self.run_script("--", "--input", "a file.csv", code=7)
        self.assertIn("[--input]\n[a file.csv]\n", printed)

    def test_only_the_first_dashes_are_the_scripts(self):
        self.program("orders_pipeline", 'for word; do echo "[$word]"; done')
        self.assertIn("[a]\n[--]\n[b]\n", self.run_script("--", "a", "--", "b"))

    def test_a_search_path_of_cd_does_not_lead_it_astray(self):
        (self.folder / "elsewhere/cmake").mkdir(parents=True)
        self.environment["CDPATH"] = str(self.folder / "elsewhere")
        self.program("orders_pipeline")
        self.run_script(cwd=self.root, script="cmake/quickstart.sh")
        self.assertEqual(os.listdir(self.folder / "elsewhere"), ["cmake"])

    def test_called_through_a_link_it_builds_in_the_folder_itself(self):
        (self.folder / "link").symlink_to(self.root)
        self.program("orders_pipeline")
        self.run_script(script=self.folder / "link/cmake/quickstart.sh")
        self.assertIn(str(self.build), self.configurations()[0])

    def test_every_step_is_one_line(self):
        self.program("orders_pipeline")
        self.assertEqual(len(self.run_script().splitlines()), 3)

    def test_a_second_call_configures_nothing(self):
        self.program("orders_pipeline")
        self.run_script()
        self.run_script("run", cwd="/")
        self.assertEqual(len(self.configurations()), 1, self.called())

    def test_what_a_configuration_depends_on_makes_a_new_one(self):
        self.program("orders_pipeline")
        self.run_script()
        own_boost = self.folder / "own"
        (own_boost / "include/boost").mkdir(parents=True)  # an installed one; one that was unpacked has no include
        (own_boost / "include/boost/version.hpp").write_text("#define BOOST_VERSION 108300\n")
        changes = {"CXXFLAGS": "-g", "LDFLAGS": "-s", "CMAKE_PREFIX_PATH": self.folder, "CXX": "c++ -m64", "BOOST_ROOT": own_boost}
        for number, (name, value) in enumerate(changes.items(), start=2):
            self.environment[name] = str(value)
            self.run_script()
            self.run_script()
            self.assertEqual(len(self.configurations()), number, name)

    @unittest.skipUnless(os.path.exists("/var/lib/dpkg/status"), "no packages of Debian's")
    def test_packages_that_came_since_make_a_new_configuration(self):
        self.program("orders_pipeline")
        self.run_script()
        self.stand_in("cksum", "echo other packages")
        self.run_script()
        self.run_script()
        self.assertEqual(len(self.configurations()), 2)

    def test_modes_keep_what_another_mode_has_configured(self):
        self.program("orders_pipeline")
        self.run_script()
        self.run_script("test")
        self.run_script("run")
        configured = self.configurations()
        self.assertEqual(len(configured), 2, configured)
        self.assertIn("VELOSTREAM_BUILD_TESTS=OFF", configured[0])
        self.assertIn("VELOSTREAM_BUILD_TESTS=ON", configured[1])

    def test_a_configuration_whose_packages_are_gone_is_not_kept(self):
        self.program("orders_pipeline")
        self.run_script("test")
        (self.prefix / "include/gmock/gmock.h").unlink()
        self.run_script("run")
        self.assertIn("VELOSTREAM_BUILD_TESTS=OFF", self.configurations()[-1])

    def test_a_configuration_that_failed_is_made_again(self):
        self.program("orders_pipeline")
        self.run_script()
        self.stand_in("cmake", CMAKE.replace("--fresh)", "--fresh) exit 1 ;;\n--never)"))
        self.environment["CXXFLAGS"] = "--wrong"
        self.run_script(code=1)
        del self.environment["CXXFLAGS"]
        self.stand_in("cmake", CMAKE)
        self.run_script()
        self.assertEqual(len(self.configurations()), 3)

    def test_steps_read_nothing_of_what_the_job_is_given(self):
        self.stand_in("cmake", CMAKE + "cat > /dev/null\n")
        self.program("orders_pipeline", "cat")
        self.assertTrue(self.run_script("--", "--input", "-", given="a line\n").endswith("a line\n"))

    def test_it_stops_where_it_cannot_write(self):
        (self.root / ".build").touch()
        self.run_script(code=1)
        self.assertEqual(self.called(), [])

    def test_each_mode_builds_what_it_needs_and_no_more(self):
        self.program("orders_pipeline")
        self.program("velostream_bench_report")
        for mode in ("run", "test", "bench"):
            self.run_script(mode)
        libraries, examples = "velostream_libraries", "velostream_libraries velostream_tools velostream_examples"
        self.assertEqual([call.split("--target ")[1] for call in self.called() if "--build" in call],
                         [examples, examples + " velostream_tests velostream_header_check", libraries + " velostream_benchmarks"])

    def test_make_does_where_there_is_no_ninja(self):
        (self.tools / "ninja").unlink()
        self.stand_in("make")
        self.program("orders_pipeline")
        self.run_script("--no-install")
        self.assertIn("-G Unix Makefiles", self.configurations()[0])

    def test_headers_are_found_where_cmake_looks(self):
        own = self.folder / "own"
        (own / "include").mkdir(parents=True)
        (self.prefix / "include/zstd.h").rename(own / "include/zstd.h")
        self.program("orders_pipeline")
        self.run_script("--no-install", code=1)
        self.environment["CMAKE_PREFIX_PATH"] = f"/nowhere:{own}"
        self.run_script("--no-install")

    def test_a_failing_step_shows_its_output_and_keeps_the_log(self):
        self.stand_in("cmake", CMAKE + 'case $1 in --build) echo "error: semicolon"; exit 4;; esac')
        self.assertIn("error: semicolon", self.run_script(code=1))
        self.assertIn("error: semicolon", (self.root / ".build/logs/build.log").read_text())

    def test_on_a_terminal_a_step_shows_its_progress_and_its_last_words(self):
        self.stand_in("cmake", CMAKE + """
            case $1 in --build) printf '[3/7] one\\n(\\nno space left'; exit 1 ;; esac""")
        screen = self.run_on_terminal("run", code=1)
        self.assertIn("... 3/7", screen)
        self.assertIn("no space left", screen)
        self.assertNotIn("expr", screen)
        self.assertEqual((self.root / ".build/logs/build.log").read_text(), "[3/7] one\n(\nno space left\n")

    def test_failing_tests_give_exit_code_1(self):
        self.stand_in("ctest", 'echo "50% tests passed, 1 tests failed out of 2"; exit 8')
        self.assertIn("50% tests passed", self.run_script("test", code=1))

    def test_test_passes_its_arguments_to_ctest(self):
        self.run_script("test", "--", "-L", "unit")
        call = next(call for call in self.called() if call.startswith("ctest"))
        self.assertTrue(call.endswith("-L unit"), call)
        self.assertIn("--no-tests=error", call)
        self.assertIn("--output-on-failure", call)

    def test_bench_runs_the_report_with_its_arguments(self):
        self.program("velostream_bench_report")
        self.run_script("bench", "--", "--filter", "breaker")
        self.assertIn("velostream_bench_report --filter breaker", self.called())

    def test_the_number_of_compilers_can_be_given(self):
        self.environment["CMAKE_BUILD_PARALLEL_LEVEL"] = "3"
        self.program("orders_pipeline")
        self.run_script()
        self.assertIn("--parallel 3", next(call for call in self.called() if "--build" in call))

    def compilers(self, processors, available_kilobytes, group_limit):
        """How many compilers it starts at a time on a machine like that."""
        (self.folder / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable:   {available_kilobytes} kB\n")
        (self.folder / "limit").write_text(group_limit + "\n")
        self.stand_in("nproc", f"echo {processors}")
        for tool, asked, how in (
            ("sed", "/proc/meminfo", f'-n "$2" "{self.folder}/meminfo"'),
            ("cat", "/sys/fs/cgroup/memory.max", f'"{self.folder}/limit"'),
        ):  # fmt: skip
            real = shutil.which(tool)
            self.stand_in(tool, f'case "$*" in *{asked}) exec {real} {how} ;; esac\nexec {real} "$@"')
        self.run_script()
        return int([call for call in self.called() if "--build" in call][-1].split("--parallel ")[1].split()[0])

    def test_as_many_compilers_as_processors_and_memory_are_there_for(self):
        self.program("orders_pipeline")
        self.assertEqual(self.compilers(4, 64_000_000, "max"), 4)
        self.assertEqual(self.compilers(64, 12_500_000, "max"), 10)  # 1.2 GB each
        self.assertEqual(self.compilers(64, 12_500_000, "2500000000"), 2)
        self.assertEqual(self.compilers(64, 12_500_000, "250000000000"), 10)
        self.assertEqual(self.compilers(64, 300_000, "max"), 1)

    def test_nothing_is_written_outside_the_build_folder(self):
        self.program("orders_pipeline")
        self.run_script()
        self.assertEqual(sorted(os.listdir(self.root)), [".build", "cmake"])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
