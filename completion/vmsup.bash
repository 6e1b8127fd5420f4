# Completion of vmsup for bash. What there is to complete vmsup says itself: `vmsup help --options`.

# The words that are complete when they follow $2, which ends in a separator or is empty.
_vmsup_words()
{
	local head=$1 word
	shift
	for word; do
		[[ $head$word == "$cur"* ]] && COMPREPLY+=("$head$word")
	done
}

_vmsup_inject()
{
	local head=$1 value=$2 calls=$3
	case $value in
	*:*)
		head+=${value%:*}:
		case ${value##*:} in
		error=*)
			_vmsup_words "${head}error=" ENOMEM EAGAIN EACCES EPERM EINVAL EBADF ENODEV EIO ENOENT ENFILE EFAULT E2BIG
			;;
		signal=*) _vmsup_words "${head}signal=" $(compgen -A signal | sed -n 's/^SIG\([A-Z]\)/\1/p') ;;
		*) _vmsup_words "$head" error= signal= when= 'size>' 'size<' prot= anon file= probability= seed= ;;
		esac
		;;
	*)
		[[ $value == *,* ]] && head+=${value%,*},
		_vmsup_words "$head" $calls
		;;
	esac
}

# Values of the option $1 with the words $4 of the table, when what comes before the value is $2 and the value so far $3.
_vmsup_value()
{
	local option=$1 head=$2 value=$3 words=$4 i
	case $words in
	FILE | DIRECTORY)
		i=-f
		[[ $words == DIRECTORY ]] && i=-d
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen $i -- "$value")
		COMPREPLY=("${COMPREPLY[@]/#/"$head"}")
		;;
	*)
		case $option in
		--inject) _vmsup_inject "$head" "$value" "$words" ;;
		--on-limit) _vmsup_words "$head" enomem kill $(compgen -A signal | sed -n 's/^SIG\([A-Z]\)/signal:\1/p') ;;
		*) _vmsup_words "$head" $words ;;
		esac
		;;
	esac
}

# The tenants of vmsupd, if it runs.
_vmsup_tenants()
{
	"$vmsup" status 2>/dev/null | while read -r name _; do [[ $name != TENANT ]] && echo "$name"; done
}

_vmsup_argument()
{
	case $verb in
	maps | limit)
		local pid
		_vmsup_words '' $("$vmsup" ps 2>/dev/null | while read -r _ _ _ _ pid _; do [[ $pid == [0-9]* ]] && echo "$pid"; done) \
			$(_vmsup_tenants)
		;;
	status | stats | start | stop | restart | enable | disable | events | trace) _vmsup_words '' $(_vmsup_tenants) ;;
	check)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	help) _vmsup_words '' "${!verbs[@]}" ;;
	run)
		compopt -o filenames 2>/dev/null
		if [[ $cur == */* ]]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		else
			mapfile -t COMPREPLY < <(compgen -c -- "$cur" | sort -u)
		fi
		;;
	esac
}

# The words of the program itself.
_vmsup_program()
{
	local i
	for ((i = 2; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == "$1" ]] && declare -F _command_offset >/dev/null; then
			_command_offset $i
			return
		fi
	done
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}

_vmsup_complete()
{
	local name kind example rest option i word ended=
	local -A kinds words verbs
	while read -r name rest; do
		verbs[$name]=$rest
	done < <("$vmsup" help --options 2>/dev/null)
	if ((${#line[@]} == 2)); then
		_vmsup_words '' "${!verbs[@]}" --help --version
		return
	fi
	while read -r name kind example rest; do
		kinds[$name]=$kind
		words[$name]=$rest
	done < <("$vmsup" help --options "$verb" 2>/dev/null)
	option=
	for ((i = 2; i < ${#line[@]} - 1; i++)); do
		word=${line[i]}
		if [[ $option ]]; then
			option=
		elif [[ $word == -- && ! $ended ]]; then
			ended=1
		elif [[ $word == -* && ! $ended ]]; then
			[[ ${kinds[$word]-} == value || ${kinds[$word]-} == list ]] && option=$word
		elif [[ $verb == run ]]; then
			_vmsup_program "$word"
			return
		fi
	done
	if [[ $option ]]; then
		_vmsup_value "$option" '' "$cur" "${words[$option]}"
	elif [[ $cur == --*=* && ! $ended ]]; then
		option=${cur%%=*}
		[[ ${kinds[$option]-flag} != flag ]] && _vmsup_value "$option" "$option=" "${cur#*=}" "${words[$option]}"
	elif [[ $cur == -* && ! $ended ]]; then
		for name in "${!kinds[@]}"; do
			case ${kinds[$name]} in
			flag) _vmsup_words '' "$name" ;;
			report) _vmsup_words '' "$name" "$name=" ;;
			*) _vmsup_words '' "$name=" ;;
			esac
		done
	else
		_vmsup_argument
	fi
}

_vmsup()
{
	local IFS=$' \t\n' vmsup=$1 text=${COMP_LINE:0:COMP_POINT} cur verb breaks= head
	local -a line
	# bash splits words at = and : as well, and replaces only what follows the last of them.
	read -ra line <<<"$text"
	[[ $text == *[[:blank:]] ]] && line+=('')
	cur=${line[-1]}
	verb=${line[1]}
	COMPREPLY=()
	_vmsup_complete
	[[ ${COMPREPLY[*]} == *[=:,\>\<] ]] && compopt -o nospace 2>/dev/null
	[[ $COMP_WORDBREAKS == *=* ]] && breaks+='='
	[[ $COMP_WORDBREAKS == *:* ]] && breaks+=':'
	if [[ $breaks ]]; then
		head=${cur%"${cur##*[$breaks]}"}
		COMPREPLY=("${COMPREPLY[@]#"$head"}")
	fi
}

complete -F _vmsup vmsup
