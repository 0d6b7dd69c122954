"""Gets the clients by the ordinary package managers, once, into a folder that is kept.

A part is made again when one of the files it is made from changes. Nothing of the machine is changed but by apt-get, and that
only for a program that is missing.
"""

import hashlib
import os
import shutil
import subprocess
import threading
from pathlib import Path

APT_LOCK = threading.RLock()
JAVA_CLIENT_VERSION = os.environ.get("CLIENTS_JAVA", "4.4.0")
KAFKA_TOOLS_VERSION = os.environ.get("CLIENTS_TOOLS", "4.3.1")
ATTEMPTS = 3
COMMAND_TIMEOUT_S = 420


class Installer:
    def __init__(self, sources, cache, log):
        self.sources = sources
        self.cache = cache
        self.log = log

    def command(self, words, folder=None, **environment):
        """Runs a package manager; a registry that did not answer is asked again."""
        for attempt in range(1, ATTEMPTS + 1):
            with open(self.log, "ab") as log:
                log.write(f"\n$ {' '.join(map(str, words))}\n".encode())
                log.flush()
                try:
                    subprocess.run(
                        words, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                        env=dict(os.environ, **environment), check=True, timeout=COMMAND_TIMEOUT_S,
                    )
                    return
                except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                    log.write(f"{error}\n".encode())
            if attempt == ATTEMPTS:
                raise RuntimeError(f"`{' '.join(map(str, words))}` failed: {self.log}")

    def program(self, name, package):
        """Sees to it that a program is there."""
        with APT_LOCK:
            if shutil.which(name):
                return
            self.package(package)

    def package(self, package):
        """Installs one of the system's packages."""
        with APT_LOCK:
            root = [] if os.geteuid() == 0 else ["sudo", "-n"]
            self.command([*root, "apt-get", "update", "-q"])
            words = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-q", "--no-install-recommends"]
            self.command([*words, package])

    def part(self, name, sources, make, key=""):
        """The folder of a part; `make` fills it, unless that was done for the very same sources."""
        digest = hashlib.sha256(key.encode())
        for source in sources:
            digest.update(source.read_bytes())
        folder = self.cache / f"{name}-{digest.hexdigest()[:12]}"
        done = folder / ".done"
        if not done.exists():
            for old in self.cache.glob(f"{name}-????????????"):
                shutil.rmtree(old)
            folder.mkdir(parents=True)
            make(folder)
            done.touch()
        return folder

    def jars(self, profile, version):
        """A folder of jars from Maven."""
        self.program("javac", "default-jdk-headless")
        self.program("mvn", "maven")
        pom = self.sources / "java" / "pom.xml"
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime"]
        make = lambda folder: self.command(
            ["mvn", "-q", "-B", "-f", pom, "-P", profile, f"-Dkafka.version={version}", *copy, f"-DoutputDirectory={folder}"]
        )
        return self.part(f"jars-{profile}-{version}", [pom], make)

    def java(self, profile, version, folder=None):
        """The class path of compiled cases; they are in the folder of the profile's name unless another is given."""
        jars = self.jars(profile, version)
        sources = sorted((self.sources / "java").glob("*.java"))
        sources += sorted((self.sources / "java" / (folder or profile)).glob("*.java"))
        compiler = ["javac", "--release", "17", "-Xlint:all", "-cp", f"{jars}/*"]
        make = lambda target: self.command([*compiler, "-d", target, *sources])
        classes = self.part(f"classes-{folder or profile}-{version}", sources, make)
        return f"{classes}:{jars}/*"

    def python(self):
        """The interpreter of a virtual environment."""
        requirements = self.sources / "python" / "requirements.txt"

        def make(folder):
            try:
                self.command(["python3", "-m", "venv", folder])
            except RuntimeError:
                # Debian's Python comes without it.
                self.package("python3-venv")
                self.command(["python3", "-m", "venv", folder])
            pip = [folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
            self.command([*pip, "-r", requirements])

        return self.part("python", [requirements], make) / "bin" / "python"

    def go(self, program):
        """One of the built programs."""
        self.program("go", "golang-go")
        source = self.sources / "go"
        make = lambda folder: self.command(["go", "build", "-trimpath", "-o", folder, "./..."], source)
        return self.part("go", sorted(path for path in source.rglob("*") if path.is_file()), make) / program

    def node(self):
        """A folder with the packages."""
        self.program("node", "nodejs")
        self.program("npm", "npm")
        source = self.sources / "node"
        manifests = [source / "package.json", source / "package-lock.json"]

        def make(folder):
            for manifest in manifests:
                shutil.copy(manifest, folder)
            self.command(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)

        return self.part("node", manifests, make) / "node_modules"
