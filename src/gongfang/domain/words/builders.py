"""Sentences about builds: what is wrong with an upload, with a tree, with a Procfile."""

from gongfang.domain.messages import register

register(
    {
        # archives
        "archive_absolute": (
            "The archive's entry {entry} has an absolute path; pack with relative paths.",
            "归档中的条目 {entry} 使用绝对路径；请用相对路径重新打包。",
        ),
        "archive_outside": (
            "The archive's entry {entry} leads out of the archive (`..`); pack from inside the application's folder.",
            "归档中的条目 {entry} 指向归档之外（`..`）；请在应用目录内重新打包。",
        ),
        "archive_link_outside": (
            "The link {entry} in the archive leads out of it ({link}); pack the file itself in its place.",
            "归档中的链接 {entry} 指向归档之外（{link}）；请改为打包文件本身。",
        ),
        "archive_link_loop": (
            "The link {entry} in the archive leads to itself; remove it.",
            "归档中的链接 {entry} 循环指向自身；请删除它。",
        ),
        "archive_hard_link": (
            "The hard link {entry} in the archive leads to {link}, which is no earlier file of the archive; "
            "pack the file itself in its place.",
            "归档中的硬链接 {entry} 指向 {link}，而它不是归档中更早的文件；请改为打包文件本身。",
        ),
        "archive_special": (
            "The archive's entry {entry} is a device, a pipe or a socket; only files, folders and links are taken.",
            "归档中的条目 {entry} 是设备、管道或套接字；只接受文件、目录和链接。",
        ),
        "archive_too_big": (
            "The archive unpacks to more than {limit_mb} MB; leave out what the build makes again.",
            "归档解包后超过 {limit_mb} MB；请去掉可由构建重新生成的文件。",
        ),
        "archive_bomb": (
            "The archive unpacks to more than {ratio} times its {packed} bytes, as no application does; "
            "leave out files of mere zeros.",
            "归档解包后超过其 {packed} 字节的 {ratio} 倍，不像正常的应用；请去掉大量重复内容的文件。",
        ),
        "archive_too_many": (
            "The archive has more than {limit} entries; leave out what the build fetches again, like node_modules.",
            "归档中的条目超过 {limit} 个；请去掉可由构建重新获取的内容，例如 node_modules。",
        ),
        "archive_lies": (
            "The archive says that {entry} has {declared} bytes, but it has {real} or more; pack it again.",
            "归档声明 {entry} 为 {declared} 字节，实际至少 {real} 字节；请重新打包。",
        ),
        "archive_encrypted": (
            "The archive's entry {entry} is encrypted; pack it without a password.",
            "归档中的条目 {entry} 已加密；请不设密码重新打包。",
        ),
        "archive_duplicate": (
            "The archive has {entry} twice, or as a file and a folder at once; pack it again from the folder.",
            "归档中 {entry} 出现两次，或同时是文件和目录；请从目录重新打包。",
        ),
        "archive_name": (
            "The archive's entry {entry} has a name with control characters or in an unknown encoding; rename it.",
            "归档中条目 {entry} 的名称含控制字符或编码无法识别；请改名后重新打包。",
        ),
        "archive_name_long": (
            "The archive's entry {entry} has too long a name; a part may have 255 bytes, a path 1024.",
            "归档中条目 {entry} 的名称过长；每段最多 255 字节，整个路径最多 1024 字节。",
        ),
        "archive_damaged": (
            "The archive is damaged or cut off ({detail}); pack and upload it again.",
            "归档已损坏或不完整（{detail}）；请重新打包并上传。",
        ),
        "archive_method": (
            "The archive's entry {entry} can't be unpacked ({detail}); pack it with the ordinary method (deflate).",
            "归档中的条目 {entry} 无法解包（{detail}）；请使用常规压缩方式（deflate）重新打包。",
        ),
        "archive_not_tar": (
            "The upload is {compression}-compressed, but there is no tar archive in it; "
            "upload the file itself, or a zip or tar.",
            "上传内容是 {compression} 压缩文件，但其中没有 tar 归档；请直接上传文件，或上传 zip、tar。",
        ),
        "archive_empty": (
            "The upload has no files in it; pack the application's folder and upload it again.",
            "上传内容中没有任何文件；请打包应用目录后重新上传。",
        ),
        # droplets
        "droplet_too_big": (
            "What the build made has more than {limit_mb} MB; let it remove what is not needed to run.",
            "构建产物超过 {limit_mb} MB；请在构建中删除运行时不需要的文件。",
        ),
        "droplet_too_many": (
            "What the build made has more than {limit} files; let it remove what is not needed to run.",
            "构建产物超过 {limit} 个文件；请在构建中删除运行时不需要的文件。",
        ),
        "droplet_deep": (
            "The build made folders too deep to be kept ({entry}); shorten their names.",
            "构建生成的目录层次过深，无法保存（{entry}）；请缩短名称。",
        ),
        # trees
        "build_not_detected": (
            "No builder knows this package. Looked for: {looked}. Found at its top: {found}. "
            "Add one of these, or a Procfile with a line `web: COMMAND`.",
            "无法识别程序包类型。查找了：{looked}。程序包顶层有：{found}。请补充其中之一，或添加含 `web: 命令` 的 Procfile。",
        ),
        "build_not_of_runtime": (
            "The app's runtime is {runtime}, but the package has none of: {looked}. Found at its top: {found}. "
            "Add one, or a Procfile, or set the runtime to auto.",
            "应用的运行时为 {runtime}，但程序包中没有：{looked}。顶层有：{found}。请补充，或添加 Procfile，或将运行时改为 auto。",
        ),
        "build_file_too_big": (
            "{file} is larger than {limit} bytes, as no such file is; make it smaller.",
            "{file} 超过 {limit} 字节，不像正常文件；请精简。",
        ),
        "build_file_malformed": (
            "{file} can't be read: {detail}. Correct it and upload again.",
            "无法读取 {file}：{detail}。请修正后重新上传。",
        ),
        # Procfile
        "procfile_line": (
            "Line {line} of the Procfile is not `name: command`: {text}",
            "Procfile 第 {line} 行不是“名称: 命令”的形式：{text}",
        ),
        "procfile_name": (
            "Line {line} of the Procfile names a process {name}; use letters, digits, `-` and `_`, 63 at most.",
            "Procfile 第 {line} 行的进程名 {name} 不合规；只能用字母、数字、`-` 和 `_`，最多 63 个。",
        ),
        "procfile_no_command": (
            "Line {line} of the Procfile gives {name} no command; write it after the colon.",
            "Procfile 第 {line} 行的 {name} 没有命令；请写在冒号后面。",
        ),
        "procfile_duplicate": (
            "Line {line} of the Procfile names {name} a second time; remove one.",
            "Procfile 第 {line} 行重复定义了 {name}；请删除其一。",
        ),
        "procfile_too_long": (
            "Line {line} of the Procfile goes over a limit: {most} processes, {longest} characters a command; "
            "put the command in a script.",
            "Procfile 第 {line} 行超出限制：最多 {most} 个进程，每条命令最多 {longest} 个字符；请将命令写入脚本。",
        ),
        "procfile_empty": (
            "The Procfile names no process; write `web: COMMAND`, or remove it.",
            "Procfile 没有定义任何进程；请写入 `web: 命令`，或删除该文件。",
        ),
        # languages
        "python_version": (
            "{file} asks for Python {wanted}; this platform has Python {have}. Change it in {file}.",
            "{file} 要求 Python {wanted}，本平台为 Python {have}。请修改 {file}。",
        ),
        "python_pipfile": (
            "Pipfile is not supported; write the dependencies to requirements.txt (`pipenv requirements`).",
            "不支持 Pipfile；请将依赖写入 requirements.txt（`pipenv requirements`）。",
        ),
        "start_missing_python": (
            "Nothing says how this Python application starts. Found at its top: {found}. Add a Procfile with a line "
            "`web: COMMAND`, or name the main file app.py or main.py.",
            "无法确定 Python 应用的启动方式。顶层有：{found}。请添加含 `web: 命令` 的 Procfile，或将主文件命名为 app.py 或 main.py。",
        ),
        "start_missing_node": (
            "Nothing says how this Node application starts. Found at its top: {found}. Add `scripts.start` to "
            "package.json, or a Procfile with a line `web: COMMAND`.",
            "无法确定 Node 应用的启动方式。顶层有：{found}。请在 package.json 中添加 `scripts.start`，或添加含 `web: 命令` 的 Procfile。",
        ),
        "java_gradle": (
            "Gradle builds are not supported; run `gradle build` yourself and upload the jar.",
            "不支持 Gradle 构建；请自行执行 `gradle build` 并上传 jar 文件。",
        ),
        "java_no_compiler": (
            "There are only Java source files, and this machine has no compiler (javac). "
            "Install a JDK on it, or upload a jar.",
            "程序包中只有 Java 源文件，而本机没有编译器（javac）。请安装 JDK，或上传 jar 文件。",
        ),
        "java_no_main_class": (
            "No jar can be run: none of {found} names a Main-Class in META-INF/MANIFEST.MF. Build a runnable jar "
            "(Spring Boot's or the shade plugin make one), or add a Procfile.",
            "没有可运行的 jar：{found} 的 META-INF/MANIFEST.MF 均未指定 Main-Class。"
            "请构建可运行的 jar（如用 Spring Boot 或 shade 插件），或添加 Procfile。",
        ),
        "java_several_jars": (
            "Several jars can be run: {found}. Say which in a Procfile: `web: java $JAVA_OPTS -jar FILE`.",
            "有多个可运行的 jar：{found}。请在 Procfile 中指明：`web: java $JAVA_OPTS -jar 文件`。",
        ),
        "java_no_jar": (
            "Maven made no jar or war in target/; check the project's packaging, or add a Procfile.",
            "Maven 未在 target/ 中生成 jar 或 war；请检查项目的 packaging，或添加 Procfile。",
        ),
        "java_no_main_method": (
            "No source file at the top has a `public static void main`. Found: {found}. Add one, or a Procfile.",
            "顶层源文件中没有 `public static void main`。现有：{found}。请补充，或添加 Procfile。",
        ),
        "java_several_mains": (
            "Several classes have a main method: {found}. Say which in a Procfile.",
            "有多个类含 main 方法：{found}。请在 Procfile 中指明。",
        ),
        "go_no_main": (
            "No main package was found at the top or in cmd/; add one (`package main`).",
            "顶层和 cmd/ 中都没有 main 包；请补充（`package main`）。",
        ),
        "go_several_programs": (
            "There are several programs in cmd/: {found}. Say in a Procfile which is `web`.",
            "cmd/ 中有多个程序：{found}。请在 Procfile 中指明哪个是 `web`。",
        ),
        "binary_not_one": (
            "{count} executable files were found where one is needed. Found at the top: {found}. "
            "Set the mode of the program (chmod +x), or add a Procfile.",
            "找到 {count} 个可执行文件，需要恰好一个。顶层有：{found}。请为程序设置可执行权限（chmod +x），或添加 Procfile。",
        ),
        "binary_machine": (
            "{file} was built for {built_for}, but this machine is {machine}; build it for Linux on {machine}.",
            "{file} 是为 {built_for} 构建的，本机为 {machine}；请针对 {machine} 的 Linux 重新构建。",
        ),
    }
)
